"""What the tests of `reproduce` share: a project's recorded run, and the attempts at it."""

import json
import subprocess
import sys
from pathlib import Path

from toyproject import Project, environment

from mlops_spec import files


def recorded(project: Project) -> Path:
    (found,) = (path for path in project.path.glob("runs/*") if "reproduces" not in path.name)
    return found


def attempts(project: Project) -> list[Path]:
    return sorted(project.path.glob("runs/*-reproduces-*"))


def again(project: Project, *words: str) -> subprocess.CompletedProcess[str]:
    return project.call("reproduce", recorded(project).name, *words)


def outcome(project: Project) -> dict:
    return files.read_json(attempts(project)[-1] / "reproduction.json")


def change(path: Path, before: str, after: str) -> None:
    assert before in path.read_text()
    path.write_text(path.read_text().replace(before, after))


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def edited(path: Path, **changes: object) -> None:
    document = json.loads(path.read_text())
    path.write_text(json.dumps({**document, **changes}))


def start(project: Project, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, *words],
        cwd=project.path,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
