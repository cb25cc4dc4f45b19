from pathlib import Path

import pytest
from filelock import FileLock
from toyproject import KINDS, Project, copy, make


@pytest.fixture(scope="session")
def _finished(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Project:
    """Made once for all the processes that share a test run."""
    own = tmp_path_factory.getbasetemp()
    path = Path(own if worker_id == "master" else own.parent) / "finished"
    with FileLock(f"{path}.lock"):
        if not path.exists():
            answer = make(path).run(*KINDS)
            assert answer.returncode == 0, answer.stdout + answer.stderr
    return Project(path)


@pytest.fixture
def finished(_finished: Project, tmp_path) -> Project:
    """A copy of a project whose every step is done."""
    return copy(_finished, tmp_path / "project")


@pytest.fixture
def project(tmp_path) -> Project:
    """A project in which nothing ran yet."""
    return make(tmp_path / "project")
