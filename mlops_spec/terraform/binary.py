"""The program `terraform`, in `infra/`, with a folder of its own for each spec."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
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
_LOOK_SECONDS = 0.1
_BACKEND = "initializing_backend_message"
_BACKEND_SECONDS = 60.0  # where it asks a proxy that refuses, it asks for ever
_PIECE = 1 << 16  # bytes that are read at once
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


def by_hand(name: str, *words: str) -> str:
    """The line of a shell that has Terraform do something to what a run keeps of a spec."""
    data = shlex.quote(str(_data(folder(name))))  # an assignment that is quoted whole is none
    return f"TF_DATA_DIR={data} {shlex.join(['terraform', '-chdir=infra', *words])}"


def run(name: str, words: Sequence[str], hear: Hear) -> str:
    """Runs a command that talks JSON, and tells what it changes as it goes.

    Args:
        name: Of the spec.
        words: The command.
        hear: Called with each line about what was made, and each warning.

    Returns:
        Its sum of changes, empty where it has none.

    Raises:
        StateError: It failed.
    """
    failed, sum_ = [], ""
    with _Process(name, words) as process:
        for event in process.events():
            found = event.get("diagnostic", {})
            match event.get("type"):
                case "diagnostic" if found["severity"] == "error":
                    failed.append(found)
                case "diagnostic":
                    hear(redact(f"warning: {found['summary']} {found.get('detail', '')}"))
                case "change_summary":
                    sum_ = str(event["@message"])
                case kind if kind in _STEPS:
                    hear(redact(str(event["@message"])))
        code = process.wait()
    if code or failed:
        last = {"summary": f"it ended with exit code {code}", "detail": process.last}
        raise refusals.refusal(failed or [last], lambda *words: by_hand(name, *words))
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
        said = {"summary": answer.stderr.strip() or answer.stdout.strip()}
        raise refusals.refusal([said], lambda *words: by_hand(name, *words))
    found: dict[str, Any] = json.loads(answer.stdout)
    return found


def _json(words: Sequence[str]) -> list[str]:
    """The command as one that talks JSON; switches stand before what is no switch."""
    return [words[0], "-json", *words[1:]]


class _Process:
    """A command at work, which ends what it has begun when we are interrupted.

    It writes into a file, which we read: with a pipe it would die with us, in the middle of what it
    makes, and its state would not know of it.
    """

    def __init__(self, name: str, words: Sequence[str]) -> None:
        own = folder(name)
        own.mkdir(parents=True, exist_ok=True)
        self.last = ""
        self._is_harmless = words[0] == "init"
        self._said = tempfile.TemporaryFile(dir=own)  # noqa: SIM115 - closed by __exit__
        self._process = subprocess.Popen(  # noqa: S603 - our own words
            ["terraform", *_json(words)],  # noqa: S607 - the one that people use
            cwd=INFRA,
            env=_environment(own),
            stdin=subprocess.DEVNULL,
            stdout=self._said,
            stderr=self._said,
            start_new_session=True,  # Ctrl-C reaches it from here
            umask=0o077,  # a state and a saved plan hold secrets
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is not None:
            self._end()
        self._said.close()

    def events(self) -> Iterator[dict[str, Any]]:
        """What it says, line by line, until it has ended; what is no JSON is kept as its last."""
        rest, heard, code, since = b"", 0, "", time.monotonic()
        while True:
            ended = self._process.poll() is not None
            added = self._said_since(heard)
            heard += len(added)
            *lines, rest = (rest + added).split(b"\n")
            for line in lines:
                try:
                    event = json.loads(line)
                except ValueError:
                    self.last = line.decode("utf-8", "replace").strip() or self.last
                    continue
                if isinstance(event, dict):
                    code, since = str(event.get("message_code")), time.monotonic()
                    yield event
            if ended and not added:
                return
            if code == _BACKEND and time.monotonic() > since + _BACKEND_SECONDS:
                raise refusals.silent(_BACKEND_SECONDS)
            if not added:
                time.sleep(_LOOK_SECONDS)

    def _said_since(self, heard: int) -> bytes:
        """What was added; it writes where the file ends, so that we must not move there."""
        return os.pread(self._said.fileno(), _PIECE, heard)

    def wait(self) -> int:
        return self._process.wait()

    def _end(self) -> None:
        """Asks it to end: it finishes what it has begun, or its state would not know of it."""
        if self._is_harmless:  # and deaf while it asks for the state
            self._process.kill()
            self._process.wait()
        if self._process.poll() is None:
            sys.stderr.write(
                "Terraform finishes what it has begun; asked again, it gives that up\n"
            )
        while self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
            with contextlib.suppress(KeyboardInterrupt):
                self._process.wait()


def _data(own: Path) -> Path:
    return own.resolve() / "data"


def _environment(own: Path) -> dict[str, str]:
    """Ours, without what would have Terraform do something else, or the key to sign with."""
    shell = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("TF_CLI_ARGS", "TF_WORKSPACE")) and name != signing.VARIABLE
    }
    quiet = {"TF_IN_AUTOMATION": "1", "TF_INPUT": "0", "CHECKPOINT_DISABLE": "1"}
    return {**shell, **quiet, "TF_DATA_DIR": str(_data(own))}
