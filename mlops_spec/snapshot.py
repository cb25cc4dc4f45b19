"""The packages that a job runs, in one folder, and which of its files are not as they would be."""

from __future__ import annotations

import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

from mlops_spec import kinds


def write(folder: Path) -> None:
    """The packages that a job runs, the project's own kinds laid over the installed ones."""
    shutil.rmtree(folder, ignore_errors=True)
    for name in ("mlops_spec", "trainers", "deployers"):
        # No job reads them; a wheel has the first two inside
        unread = ("conf", "infra", "emulator") if name == "mlops_spec" else ()
        ignored = shutil.ignore_patterns("__pycache__", ".*", *unread)
        for root in reversed(kinds.roots()):
            if (root / name).is_dir():
                shutil.copytree(root / name, folder / name, ignore=ignored, dirs_exist_ok=True)


def stale(folder: Path) -> list[Path]:
    """Files of a snapshot that a new one would change, add or leave out."""
    with TemporaryDirectory() as new:
        write(Path(new))
        wanted, found = _contents(Path(new)), _contents(folder)
    names = sorted(wanted.keys() | found.keys())
    return [folder / name for name in names if wanted.get(name) != found.get(name)]


def _contents(folder: Path) -> dict[Path, bytes]:
    """Every file below a folder, without what running the code there leaves."""
    paths = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return {p: (folder / p).read_bytes() for p in paths if "__pycache__" not in p.parts}
