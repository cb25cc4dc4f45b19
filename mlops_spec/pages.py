"""Which process is the page at an address of this machine: one JSON file each."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from mlops_spec import files, services
from mlops_spec.errors import StateError

FOLDER = Path(".mlops/pages")


class Page(BaseModel):
    """The process that was started there.

    Attributes:
        pid: Its id; 0 after it was stopped.
        program: The module that it runs.
        log: What it says; empty in notes of older versions.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    pid: int
    program: str
    log: str = ""


def path_of(host: str, port: int) -> Path:
    """The file of an address."""
    return FOLDER / f"{host}-{port}.json"


def read(path: Path) -> Page | None:
    """What was started at an address; None where nothing ever was.

    Raises:
        StateError: The file is damaged, or of a newer version of this program.
    """
    try:
        document = files.read_json(path)
    except FileNotFoundError:
        return None
    document.pop("schema_version")
    try:
        return Page.model_validate(document)
    except ValidationError as error:
        first = error.errors()[0]
        message = f"{path} is damaged ({'.'.join(map(str, first['loc']))}: {first['msg']})"
        raise StateError(message, services.FORGET) from error


def write(path: Path, page: Page) -> None:
    """Replaces what was started at an address."""
    files.write_json(path, page.model_dump(mode="json"))


def is_page(page: Page, port: int) -> bool:
    """Whether the process of a page is still it, where the system can tell."""
    pid = page.pid
    named = bool(page.program) and services.is_ours(pid, page.program)
    return named and services.was_told(pid, "--port", str(port))
