"""Which process is the page at an address of this machine: one JSON file each."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict

from mlops_spec import records, services

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
        return records.read(path, Page, services.FORGET)
    except FileNotFoundError:
        return None


def write(path: Path, page: Page) -> None:
    """Replaces what was started at an address."""
    records.write(path, page)


def is_page(page: Page, port: int) -> bool:
    """Whether the process of a page is still it, where the system can tell."""
    pid = page.pid
    named = bool(page.program) and services.is_ours(pid, page.program)
    return named and services.was_told(pid, "--port", str(port))
