import pytest
from toyproject import KINDS, Project, copy, make


@pytest.fixture(scope="session")
def _finished(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = make(tmp_path_factory.mktemp("finished") / "project")
    answer = project.run(*KINDS)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    return project


@pytest.fixture
def finished(_finished: Project, tmp_path) -> Project:
    """A copy of a project whose every step is done."""
    return copy(_finished, tmp_path / "project")


@pytest.fixture
def project(tmp_path) -> Project:
    """A project in which nothing ran yet."""
    return make(tmp_path / "project")
