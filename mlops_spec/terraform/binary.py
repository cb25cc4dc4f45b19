"""The program `terraform`, in `infra/`, with a folder of its own for each spec."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from mlops_spec import signing
from mlops_spec.errors import StateError
from mlops_spec.redaction import redact
from mlops_spec.render.terraform import INFRA
from mlops_spec.terraform import refusals

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    Hear = Callable[[str], None]

_LEAST = (1, 11)
LEAST_TEXT = ".".join(map(str, _LEAST))
_INSTALL = "install it: https://developer.hashicorp.com/terraform/install"
_OWN = Path(".mlops/terraform")
_STEPS = ("apply_start", "apply_progress", "apply_complete", "apply_errored")


def check() -> str:
    """The version of the program.

    Raises:
        StateError: There is none, or it is too old for `infra/`.
    """
    if not shutil.which("terraform"):
        raise StateError("infra=terraform needs Terraform, and there is none on the PATH", _INSTALL)
    answer = subprocess.run(
        ["terraform", "version", "-json"],  # noqa: S607 - the one that people use
        env=_environment(_OWN),
        capture_output=True,
        text=True,
        check=False,
    )
    try:
        version = str(json.loads(answer.stdout)["terraform_version"])
        numbers = tuple(int(part) for part in version.partition("-")[0].split("."))
    except (ValueError, KeyError) as error:
        said = redact((answer.stderr or answer.stdout).strip()[:200])
        raise StateError(f"terraform does not tell its version: {said}", _INSTALL) from error
    if numbers < _LEAST:
        message = f"terraform {version} is too old: infra/ needs {LEAST_TEXT} or newer"
        raise StateError(message, _INSTALL)
    return version


def folder(name: str) -> Path:
    """Where what Terraform keeps of a spec lies: providers, and a plan until it is applied."""
    return (_OWN / name).resolve()


def run(name: str, words: Sequence[str], hear: Hear) -> str:
    """Runs a command that talks JSON, and tells what it changes as it goes.

    Args:
        name: Of the spec.
        words: The command.
        hear: Called with each line about what was made.

    Returns:
        Its sum of changes, empty where it has none.

    Raises:
        StateError: It failed.
    """
    failed, sum_ = [], ""
    with _Process(name, _json(words)) as process:
        for event in process.events():
            match event.get("type", event.get("@level")):
                case "diagnostic" if event["diagnostic"]["severity"] == "error":
                    failed.append(event["diagnostic"])
                case "change_summary":
                    sum_ = str(event["@message"])
                case kind if kind in _STEPS:
                    hear(redact(str(event["@message"])))
        code = process.wait()
    if code or failed:
        raise refusals.refusal(failed)
    return sum_


def document(name: str, *words: str) -> dict[str, Any]:
    """What a command tells that answers with one document.

    Raises:
        StateError: It failed.
    """
    answer = subprocess.run(  # noqa: S603 - our own words
        ["terraform", *_json(words)],  # noqa: S607 - the one that people use
        cwd=INFRA,
        env=_environment(folder(name)),
        capture_output=True,
        text=True,
        check=False,
    )
    if answer.returncode:
        raise refusals.refusal([{"summary": answer.stderr.strip() or answer.stdout.strip()}])
    found: dict[str, Any] = json.loads(answer.stdout)
    return found


def _json(words: Sequence[str]) -> list[str]:
    """The command as one that talks JSON; switches stand before what is no switch."""
    return [words[0], "-json", *words[1:]]


class _Process:
    """A command at work, which ends what it has begun when we are interrupted."""

    def __init__(self, name: str, words: Sequence[str]) -> None:
        self._process = subprocess.Popen(  # noqa: S603 - our own words
            ["terraform", *words],  # noqa: S607 - the one that people use
            cwd=INFRA,
            env=_environment(folder(name)),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,  # Ctrl-C reaches it from here
            umask=0o077,  # a state and a saved plan hold secrets
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        assert self._process.stdout is not None
        if kind is not None:
            self._end()
        self._process.stdout.close()

    def events(self) -> Iterator[dict[str, Any]]:
        """What it says, line by line; what is no JSON is an error before it could talk any."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            try:
                event = json.loads(line)
            except ValueError:
                continue
            if isinstance(event, dict):
                yield event

    def wait(self) -> int:
        return self._process.wait()

    def _end(self) -> None:
        """Asks it to end: it finishes what it has begun, or its state would not know of it."""
        while self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
            with contextlib.suppress(KeyboardInterrupt):  # asked twice, it ends at once
                for _ in self.events():  # it must not wait for us to listen
                    pass
                self._process.wait()


def _environment(own: Path) -> dict[str, str]:
    """Ours, without the key that models are signed with."""
    shell = {name: value for name, value in os.environ.items() if name != signing.VARIABLE}
    quiet = {"TF_IN_AUTOMATION": "1", "TF_INPUT": "0", "CHECKPOINT_DISABLE": "1"}
    return {**shell, **quiet, "TF_DATA_DIR": str(own.resolve() / "data")}
