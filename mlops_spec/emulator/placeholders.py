"""What `${{ }}` and `$[[ ]]` stand for in a job's command and bindings."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from mlops_spec.errors import StateError

if TYPE_CHECKING:
    from collections.abc import Mapping

_NAME = re.compile(r"\$\{\{\s*([\w.-]+)\s*\}\}")
_OPTIONAL = re.compile(r"\$\[\[(.*?)\]\]", re.DOTALL)


def fill(text: str, values: Mapping[str, str]) -> str:
    """A text with its placeholders replaced; optional parts without a value are left out.

    Args:
        text: With `${{inputs.data}}` and such.
        values: By name, such as `inputs.data`.

    Raises:
        StateError: Nothing is known for a placeholder.
    """

    def part(match: re.Match[str]) -> str:
        known = all(name in values for name in _NAME.findall(match[1]))
        return match[1] if known else ""

    def value(match: re.Match[str]) -> str:
        if match[1] not in values:
            raise StateError(f"nothing is bound to {match[0]}")
        return values[match[1]]

    return _NAME.sub(value, _OPTIONAL.sub(part, text))


def only(text: object) -> str | None:
    """The one placeholder that a text consists of; None for any other text."""
    match = _NAME.fullmatch(text.strip()) if isinstance(text, str) else None
    return match[1] if match else None


def names(text: object) -> list[str]:
    """Every placeholder of a text."""
    return _NAME.findall(text) if isinstance(text, str) else []
