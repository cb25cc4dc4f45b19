"""The wheel in an empty folder works like the repository."""

import re
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest
from project import ROOT, TERRAFORM, tree
from toyproject import KINDS, TOY

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def python(tmp_path_factory) -> Path:
    """The interpreter of an environment that holds the wheel, and our dependencies beside it."""
    base = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "build", "--wheel", "--outdir", str(base), checkout(base)]
    subprocess.run(build, check=True, capture_output=True)
    (wheel,) = base.glob("*.whl")
    venv.create(base / "venv", symlinks=True)
    site = next((base / "venv" / "lib").glob("python*")) / "site-packages"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return base / "venv" / "bin" / "python"


def checkout(base: Path) -> str:
    """A copy of the repository in which somebody already works with Terraform."""
    for name in ("mlops_spec", "trainers", "deployers", "conf", "infra"):
        shutil.copytree(ROOT / name, base / "repository" / name)
    for name in ("pyproject.toml", "README.md", "LICENSE", ".gitignore"):
        shutil.copy(ROOT / name, base / "repository" / name)
    for name in ("terraform.tfstate", ".terraform.lock.hcl", "quickstart.tfvars.json", "me.tfvars"):
        (base / "repository" / "infra" / name).touch()
    return str(base / "repository")


def run(python: Path, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [python, "-m", "mlops_spec", *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_code_and_conf_come_from_the_wheel(python: Path, tmp_path) -> None:
    show = run(python, tmp_path, "show", "training.epochs", "+experiment=quickstart")
    assert show.returncode == 0, show.stderr
    assert "site-packages/mlops_spec/conf/experiment/quickstart.yaml" in show.stdout
    assert list(tmp_path.iterdir()) == []


def test_quickstart_runs_in_an_empty_folder(python: Path, tmp_path) -> None:
    words = ("+experiment=quickstart", "training.epochs=1", "evaluation.gate.floors.accuracy=0.0")
    answer = run(python, tmp_path, *words)
    assert answer.returncode == 0, answer.stderr
    assert "digits version 1 is champion" in answer.stdout
    assert "nothing to do" in run(python, tmp_path, *words).stdout


def test_own_conf_and_kinds_overlay_the_wheel(python: Path, tmp_path) -> None:
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


def test_terraform_comes_from_the_wheel_and_nothing_that_lay_beside_it(
    python: Path, tmp_path
) -> None:
    answer = run(python, tmp_path, "render", "+experiment=quickstart", *TERRAFORM)
    assert "terraform -chdir=infra init" in answer.stdout, answer.stderr
    kept = (".tf", ".hcl", ".tfvars")
    paths = (
        p for p in (ROOT / "infra").rglob("*") if p.suffix in kept and ".terraform" not in p.parts
    )
    shipped = {str(path.relative_to(ROOT / "infra")): path.read_bytes() for path in paths}
    (inside,) = python.parents[1].glob("lib/python*/site-packages/mlops_spec/infra")
    assert {name: text for name, text in tree(inside).items() if text is not None} == shipped
    laid = {name: text for name, text in tree(tmp_path / "infra").items() if text is not None}
    (store,) = (name for name in laid if re.fullmatch(r"bootstrap/st\w+\.tfvars\.json", name))
    rendered = {"quickstart.tfvars.json", "quickstart.backend.json", store}
    late = {"main.devops.tf", "tests/devops.tftest.hcl"}  # where Azure DevOps is wanted
    assert laid.keys() == (shipped.keys() - late) | rendered
    assert all(laid[name] == shipped[name] for name in laid.keys() - rendered)
    assert not list(tmp_path.glob("rendered/*/code/mlops_spec/infra"))
