"""The wheel in an empty folder works like the repository."""

import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest
from toyproject import KINDS, TOY

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def python(tmp_path_factory) -> Path:
    """The interpreter of an environment that holds the wheel, and our dependencies beside it."""
    base = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "build", "--wheel", "--outdir", str(base), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True)
    (wheel,) = base.glob("*.whl")
    venv.create(base / "venv", symlinks=True)
    site = next((base / "venv" / "lib").glob("python*")) / "site-packages"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return base / "venv" / "bin" / "python"


def run(python: Path, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [python, "-m", "mlops_spec", *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_code_and_conf_come_from_the_wheel(python: Path, tmp_path) -> None:
    show = run(python, tmp_path, "show", "training.epochs", "+experiment=quickstart")
    assert show.returncode == 0, show.stderr
    assert "site-packages/mlops_spec/conf/experiment/quickstart.yaml" in show.stdout
    assert list(tmp_path.iterdir()) == []


def test_quickstart_runs_in_an_empty_folder(python: Path, tmp_path) -> None:
    words = ("+experiment=quickstart", "training.epochs=1", "evaluation.gate.min_accuracy=0.0")
    answer = run(python, tmp_path, *words)
    assert answer.returncode == 0, answer.stderr
    assert "digits version 1 is champion" in answer.stdout
    assert "nothing to do" in run(python, tmp_path, *words).stdout


def test_own_conf_and_kinds_overlay_the_wheel(python: Path, tmp_path) -> None:
    import shutil

    shutil.copytree(TOY, tmp_path / "project")
    answer = run(python, tmp_path / "project", *KINDS)
    assert answer.returncode == 0, answer.stderr
    assert (tmp_path / "project" / "served.txt").exists()


def test_new_project_works_at_once(python: Path, tmp_path) -> None:
    assert run(python, tmp_path, "init", "pets").returncode == 0
    project = tmp_path / "pets"
    assert run(python, project, "plan", "experiment=first").returncode == 0
    assert run(python, project, "schema", "--check").returncode == 0
    assert run(python, tmp_path, "init", "pets").returncode == 2
    tests = [python, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    answer = subprocess.run(tests, cwd=project, capture_output=True, text=True, check=False)
    assert "1 passed" in answer.stdout, answer.stdout
