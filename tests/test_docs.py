"""The documentation is true: its commands run, and nothing that exists is missing from it."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import small_bundle
from PIL import Image
from scoring import stop

from mlops_spec import bundle, card, cli, errors, kinds, lineage

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
QUICKSTART = "mlops_spec +experiment=quickstart"  # which README.md alone trains from nothing
PHOTOS = ROOT.parent / "shared" / "data" / "ants_bees"


def commands(page: Path) -> list[str]:
    """The commands of a page's console blocks, in order, without their comments."""
    blocks = re.findall(r"```console\n(.*?)```", page.read_text(), re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines() if line.startswith("$ ")]
    return [re.sub(r"\s+#.*", "", line[2:]) for line in lines]


def test_every_verb_group_kind_and_exit_code_is_documented() -> None:
    readme = (ROOT / "README.md").read_text()
    for verb in cli.VERBS:
        assert f"| `{verb}` |" in readme
    for folder in (ROOT / "conf").iterdir():
        if folder.is_dir() and folder.name != "schema":
            assert f"| `{folder.name}` |" in readme
    for code in errors.ExitCode:
        assert f"| {int(code)} |" in readme
    for group in kinds.GROUPS:
        for kind in kinds.names(group):
            assert f"`{kind}`" in readme


def test_every_link_leads_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\((?!https:)([^)#]+)\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_every_experiment_in_the_documentation_exists() -> None:
    known = {path.stem for path in (ROOT / "conf" / "experiment").glob("*.yaml")}
    known |= {path.stem for path in ROOT.glob("mlops_spec/templates/*/conf/experiment/*.yaml")}
    for page in PAGES:
        for command in commands(page):
            named = set(re.findall(r"experiment=(\w+)", command))
            assert named <= known, f"{page.name}: {command}"


def test_the_bundle_s_example_answers_as_the_bundle_does(tmp_path, monkeypatch) -> None:
    model = bundle.load(small_bundle.make(tmp_path, temperature=0.5))
    photo = np.random.default_rng(0).integers(0, 256, (40, 30, 3), np.uint8)
    Image.fromarray(photo).save(tmp_path / "photo.jpg")
    monkeypatch.chdir(tmp_path)
    page = (ROOT / "docs" / "bundle.md").read_text("utf-8")
    (example,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    found: dict[str, Any] = {}
    exec(example, found)  # noqa: S102 - what a reader would do
    expected = model.probabilities([tmp_path / "photo.jpg"])[0]
    assert tuple(found["answer"]) == model.card.labels
    np.testing.assert_allclose([*found["answer"].values()], expected)


def test_every_field_of_a_lineage_is_documented() -> None:
    page = (ROOT / "docs" / "lineage.md").read_text("utf-8")
    for name in lineage.Lineage.model_fields:
        assert f"`{name}`" in page


def test_every_field_of_the_card_is_documented() -> None:
    page = (ROOT / "docs" / "bundle.md").read_text("utf-8")
    for part in (card.Card, card.Golden):
        for name in part.model_fields.keys() - {"preprocessing"}:
            assert f"| `{name}` |" in page
    for name in card.Preprocessing.model_fields.keys() - {"std"}:
        assert f"| `preprocessing.{name}`" in page


def values(command: str, folder: Path, exported: dict[str, str]) -> dict[str, str]:
    """What an `export` makes of a variable, by the shell."""
    (name,) = re.findall(r"export (\w+)=", command)
    script, known = f'{command} && printf %s "${name}"', {**os.environ, **exported}
    return {name: subprocess.check_output(["sh", "-c", script], cwd=folder, env=known, text=True)}


def named(word: str, folder: Path) -> str:
    """What a page calls by a word in capitals: the one that its commands before have made."""
    known = {"BUNDLE": ".mlops/models/*/*/model.json", "DATA": ".mlops/steps/*/out/manifest.csv"}
    return str(next(folder.glob(known[word])).parent) if word in known else word


def begun(page: Path, folder: Path, request: pytest.FixtureRequest) -> Path:
    """The folder of a page: with a finished quickstart where it would only train that again."""
    if page.name != "README.md" and any(QUICKSTART in command for command in commands(page)):
        shutil.copytree(request.getfixturevalue("quickstart").path / ".mlops", folder / ".mlops")
    return folder


@pytest.mark.slow
@pytest.mark.timeout(1200)  # it trains several times
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_of_a_page_run_in_order(page: Path, tmp_path, request) -> None:
    folder = begun(page, tmp_path, request)
    exported = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    for command in commands(page):
        words = shlex.split(command)
        if words[0] == "export":
            exported.update(values(command, folder, exported))
            continue
        words = [re.sub(r"\$(\w+)", lambda found: exported[found[1]], word) for word in words]
        if words[0] == "make":
            continue  # continuous integration runs these two themselves
        if words[0] == "cd":
            folder /= words[1]
            continue
        if "path/to/photos" in command:
            if not PHOTOS.is_dir():
                pytest.skip(f"LOUD: {PHOTOS} is absent: {command!r} was not run")
            words = [word.replace("path/to/photos", str(PHOTOS)) for word in words]
        if "runs/RUN" in words:  # the first one: its page says how it was made
            first = min((folder / "runs").iterdir())
            words = [str(first) if word == "runs/RUN" else word for word in words]
        words = [named(word, folder) for word in words]
        assert words[0] == "python"
        done = subprocess.run(
            [sys.executable, *words[1:]],
            cwd=folder,
            env={**os.environ, **exported},
            capture_output=True,
            text=True,
            check=False,
        )
        refused = "the gate said no" in done.stdout or "refused" in done.stdout
        assert done.returncode == (3 if refused else 0), f"{command}\n{done.stdout}\n{done.stderr}"
    stop(folder)
    shutil.rmtree(tmp_path)
