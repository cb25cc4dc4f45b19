"""Secrets are names: `${secret:NAME}` in YAML, a value only inside an action.

A secret written into YAML or on the command line is an error before anything is recorded, because
specs, plans and logs are kept and shared.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any

from mlops_spec.errors import MlopsError, Problem
from mlops_spec.redaction import is_secret

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from mlops_spec.origins import Origins

REFERENCE = r"\$\{secret:([A-Za-z_][A-Za-z0-9_-]*)\}"
_REFERENCE = re.compile(REFERENCE)
_SECRET_NAME = re.compile(
    r"(?:^|_)(?:password|passwd|pwd|passphrase|secret|token|sas|credential|connection_?string"
    r"|sign_with|(?:api|access|account|storage|training|prediction|subscription|shared|private)_?key)s?$"
)


def is_named(key: str) -> bool:
    """Whether a key's last name says that its value is a secret."""
    name = re.sub(r"(?<=[a-z])(?=[A-Z])|[^A-Za-z0-9]", "_", key.rpartition(".")[2])
    return bool(_SECRET_NAME.search(name.lower()))


def find(values: dict[str, Any], origins: Origins) -> Iterator[Problem]:
    """Problems for values that are secrets by name or by look; never the values themselves."""
    from mlops_spec.origins import where_is  # a job has no YAML library of ours

    found = [(key, value, where_is(origins, key)) for key, value in _scalars(values, "")]
    for key, settings in origins.items():  # shadowed ones too: they are written all the same
        found += [(k, v, s.where) for s in settings for k, v in _scalars(s.value, key)]
    told = dict.fromkeys((key, where) for key, value, where in found if _is_secret(key, value))
    for key, where in told:
        variable = re.sub(r"\W", "_", key.rpartition(".")[2]).upper()
        cure = f"a secret does not belong here: write ${{secret:{variable}}} and set {variable}"
        yield Problem(where, key, f"{cure} in the environment")


def _is_secret(key: str, value: object) -> bool:
    if _REFERENCE.fullmatch(str(value)) or value in ("???", "", None):
        return False
    # A count is no secret, however it is called: max_tokens: 5
    named = is_named(key) and not (key.endswith("s") and not isinstance(value, str))
    return named or is_secret(str(value))


def _scalars(value: object, key: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _scalars(inner, f"{key}.{name}" if key else str(name))
    elif isinstance(value, list):
        for inner in value:
            yield from _scalars(inner, key)
    elif not isinstance(value, bool):
        yield key, value


def resolve(variables: Mapping[str, str]) -> tuple[dict[str, str], set[str]]:
    """Replaces `${secret:NAME}` from the environment; also returns the secret values, to mask them.

    Raises:
        MlopsError: A named secret is not set.
    """
    used: set[str] = set()

    def value_of(match: re.Match[str]) -> str:
        name = match.group(1)
        if name not in os.environ:
            message = f"the secret {name} is not set"
            raise MlopsError(message, f"set the environment variable {name}, then run again")
        used.add(os.environ[name])
        return os.environ[name]

    return {name: _REFERENCE.sub(value_of, text) for name, text in variables.items()}, used


def named(values: object) -> list[str]:
    """The secrets that a spec names, wherever in it, sorted."""
    texts = (str(value) for _, value in _scalars(values, ""))
    return sorted({name for text in texts for name in _REFERENCE.findall(text)})


def unset(text: str) -> list[str]:
    """The secrets that a text names and the environment does not have."""
    return [name for name in _REFERENCE.findall(text) if not os.environ.get(name)]


def mask(text: str, values: Iterable[str]) -> str:
    """Text without the secrets among it; of a secret of several lines, without each of them."""
    lines = {line for value in values for line in (value, *value.splitlines()) if line.strip()}
    for line in sorted(lines, key=len, reverse=True):
        text = text.replace(line, "***")
    return text
