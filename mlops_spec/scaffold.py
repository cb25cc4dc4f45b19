"""`init`: a new project, small enough to be understood at once."""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path

from mlops_spec import __version__, files, schema
from mlops_spec.compose import Composer
from mlops_spec.errors import ExitCode, MlopsError, Problem, SpecError
from mlops_spec.view import echo

_TEMPLATE = Path(__file__).parent / "templates" / "project"


def write(target: str) -> ExitCode:
    """Writes the project into a new or empty folder.

    Raises:
        SpecError: The folder has something in it already.
    """
    folder = Path(target).resolve()
    if not target.strip() or (folder.exists() and not _is_empty(folder)):
        what = "is there already and not empty: choose a new folder"
        raise SpecError([Problem("command line", target, what)])
    name = re.sub(r"[^a-zA-Z0-9_-]", "-", folder.name).lstrip("-_") or "project"
    values = {"PROJECT_NAME": name, "PRODUCT_VERSION": __version__}
    for source in sorted(path for path in _TEMPLATE.rglob("*") if path.is_file()):
        text = source.read_text("utf-8")
        for key, value in values.items():
            text = text.replace(key, value)
        files.write_text(folder / source.relative_to(_TEMPLATE), text)
        echo(f"wrote {Path(target) / source.relative_to(_TEMPLATE)}")
    _write_schemas(folder)
    echo(f"next:\n  cd {shlex.quote(target)}\n  python -m mlops_spec +experiment=first")
    return ExitCode.DONE


def _is_empty(folder: Path) -> bool:
    """Whether a project may be made here; a new repository counts as empty."""
    return folder.is_dir() and all(path.name == ".git" for path in folder.iterdir())


def _write_schemas(folder: Path) -> None:
    """The editor's schemas, made where they will lie: the project's own kinds count."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        schema.write(Composer(), check=False)
    except MlopsError as error:  # pragma: no cover - the template is ours
        raise AssertionError(error) from error
    finally:
        os.chdir(before)
