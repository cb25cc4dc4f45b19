"""A full disk, a read-only folder: a clear message, nothing half-written, the next run goes on."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from toyproject import KINDS, TOY, Project

NEVER_REGISTERS = ("target=none", "training.flip=true")
LEAN = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}  # compiled modules would fill the disk


def mount(*options: str) -> None:
    answer = subprocess.run(["mount", *options], capture_output=True, text=True, check=False)
    if answer.returncode:
        pytest.skip(f"LOUD: a file system of its own needs root here: {answer.stderr.strip()}")


@contextmanager
def small_disk(path: Path, size: str) -> Iterator[Project]:
    path.mkdir()
    mount("-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(path))
    try:
        shutil.copytree(TOY, path, dirs_exist_ok=True)
        yield Project(path)
    finally:
        subprocess.run(["umount", "-l", str(path)], check=True)


def assert_whole(project: Project) -> None:
    """Every JSON document can be read and no temporary file is left."""
    for path in project.path.rglob("*.json"):
        json.loads(path.read_text())
    assert [p for p in project.path.rglob(".*") if p.suffix not in ("", ".gitignore")] == []


@pytest.mark.slow
@pytest.mark.parametrize("size", ["150k", "300k"])
def test_full_disk_is_said_and_the_next_run_continues(tmp_path, size: str) -> None:
    with small_disk(tmp_path / "disk", size) as project:
        answer = project.run(*KINDS, *NEVER_REGISTERS, env=LEAN)
        assert answer.returncode in (1, 5)
        assert "the disk is full: free some space" in answer.stderr
        assert "Traceback" not in answer.stderr
        assert_whole(project)
        mount("-o", "remount,size=50m", str(project.path))
        again = project.run(*KINDS, *NEVER_REGISTERS, env=LEAN)
        assert again.returncode == 3, again.stderr
        assert_whole(project)


def test_read_only_folder_is_said(tmp_path) -> None:
    with small_disk(tmp_path / "disk", "50m") as project:
        mount("-o", "remount,ro", str(project.path))
        answer = project.call(*KINDS)
        assert answer.returncode == 1
        assert "the file system is read-only: work in a folder you can write to" in answer.stderr
        plan = project.call("plan", *KINDS)  # reads only
        assert plan.returncode == 0
