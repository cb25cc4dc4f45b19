from __future__ import annotations

import shutil
import subprocess
from contextlib import chdir
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from browser import chromium
from filelock import FileLock
from pages import fake, inside
from toyproject import KINDS, Project, copy, make
from visiting import _page, address, service

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mlops_spec.registry import Candidate

    Once = Callable[[str, Callable[[Path], None]], Path]

# fixtures, made beside what they are of
__all__ = ["_page", "address", "chromium", "fake", "inside", "service"]


@pytest.fixture(scope="session")
def once(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Once:
    """Makes a folder once for all the processes that share a test run; it is only read from."""
    own = tmp_path_factory.getbasetemp()
    shared = own if worker_id == "master" else own.parent

    def folder(name: str, fill: Callable[[Path], None]) -> Path:
        path = shared / name
        with FileLock(f"{path}.lock"):
            if not path.exists():
                fill(path)
        return path

    return folder


@pytest.fixture(scope="session")
def _finished(once: Once) -> Project:
    def fill(path: Path) -> None:
        answer = make(path).run(*KINDS)
        assert answer.returncode == 0, answer.stdout + answer.stderr

    return Project(once("finished", fill))


@pytest.fixture(scope="session")
def quickstart(once: Once) -> Project:
    """A folder in which the quickstart has run."""

    def fill(path: Path) -> None:
        path.mkdir()
        answer = Project(path).run("+experiment=quickstart")
        assert answer.returncode == 0, answer.stdout + answer.stderr

    return Project(once("quickstart", fill))


@pytest.fixture
def finished(_finished: Project, tmp_path) -> Project:
    """A copy of a project whose every step is done."""
    return copy(_finished, tmp_path / "project")


@pytest.fixture
def project(tmp_path) -> Project:
    """A project in which nothing ran yet."""
    return make(tmp_path / "project")


@pytest.fixture(scope="session")
def _registered(once: Once) -> Path:
    """MLflow takes seconds for it."""

    def fill(path: Path) -> None:
        import registries

        path.mkdir()
        with chdir(path):
            first = registries.candidate(Path("first"), registries.FIRST, 0, 1.0)
            registries.register(first)

    return once("registered", fill)


@pytest.fixture
def registered(_registered: Path, tmp_path, monkeypatch) -> Path:
    """The working folder has a registry whose one version is champion."""
    shutil.copytree(_registered, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return Path(tmp_path)


@pytest.fixture
def first(tmp_path) -> Candidate:
    """The model of version 1 again."""
    import registries

    return registries.candidate(tmp_path / "first", registries.FIRST, 0, 1.0)


@pytest.fixture
def second(tmp_path) -> Candidate:
    """Another model, judged against version 1."""
    import registries

    return registries.candidate(tmp_path / "second", registries.SECOND, 1, 2.0)


@pytest.fixture
def started(monkeypatch) -> Iterator[list[subprocess.Popen[bytes]]]:
    """All the processes that were started; they outlive whoever started them, but not a test."""
    found, popen = [], subprocess.Popen

    def noted(*words: Any, **more: Any) -> subprocess.Popen[bytes]:
        found.append(popen(*words, **more))
        return found[-1]

    monkeypatch.setattr("mlops_spec.actions._processes.subprocess.Popen", noted)
    yield found
    for process in found:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def toys(tmp_path_factory):
    """An emulator for the jobs of toy projects."""
    import azure_runs

    with azure_runs.emulated(tmp_path_factory.mktemp("emulator")) as found:
        yield found


@pytest.fixture
def runs(toys, request, tmp_path):
    """A toy project whose jobs run there."""
    import azure_runs

    return azure_runs.new(toys, request, tmp_path)


@pytest.fixture(scope="module")
def _azure(tmp_path_factory):
    import cloud

    with cloud.running(tmp_path_factory.mktemp("emulator") / "state") as found:
        yield found


@pytest.fixture
def azure(_azure):
    """An emulator; nothing that an earlier test has asked for is left."""
    _azure.faults()
    return _azure


@pytest.fixture(scope="module")
def shelf(tmp_path_factory):
    """A workspace's registry."""
    import registries

    case = registries.Azureml()
    with case.world(tmp_path_factory.mktemp("emulator")):
        yield case
