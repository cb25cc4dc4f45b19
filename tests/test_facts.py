import json
import platform
from importlib import metadata
from pathlib import Path

import pytest
from world import Now, compose

from mlops_spec import facts, files, kinds, manifest, registry
from mlops_spec.facts import Facts, Lazy
from mlops_spec.registry import Version
from trainers.datasets import folder

PHOTOS = ["+experiment=quickstart", "data=folder", "data.root=photos"]


@pytest.fixture(autouse=True)
def _in_a_folder_with_photos(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("ants/1.jpg", "ants/2.jpg", "bees/1.jpg"):
        files.write_text(Path("photos") / name, f"picture {name}")


def read(*overrides):
    _, spec = compose(Now([*PHOTOS, *overrides]))
    return facts.read(spec, {}, {}, Path)


def test_a_lazy_mapping_reads_what_is_asked_for_once():
    asked = []
    lazy = Lazy(lambda key: asked.append(key) or key.upper())
    assert asked == []
    assert [lazy["a"], lazy["b"], lazy["a"]] == ["A", "B", "A"]
    assert asked == ["a", "b"]
    assert dict(lazy) == {"a": "A", "b": "B"}


def test_a_lazy_mapping_remembers_that_there_is_nothing():
    asked = []
    lazy = Lazy(asked.append)
    assert [lazy.get("a"), lazy.get("a")] == [None, None]
    assert asked == ["a"]


def test_reading_facts_writes_nothing():
    before = sorted(Path.cwd().rglob("*"))
    read()
    assert sorted(Path.cwd().rglob("*")) == before


@pytest.mark.parametrize(
    "change",
    [
        lambda photos: files.write_text(photos / "ants/1.jpg", "another picture"),
        lambda photos: files.write_text(photos / "ants/3.jpg", "one more"),
        lambda photos: (photos / "ants/2.jpg").unlink(),
        lambda photos: (photos / "ants/2.jpg").rename(photos / "bees/2.jpg"),
    ],
    ids=["changed", "added", "removed", "moved to another class"],
)
def test_the_source_changes_with_the_images(change):
    before = read().source
    change(Path("photos"))
    assert read().source != before


def test_the_source_does_not_change_with_place_or_time():
    before = read().source
    Path("photos").rename("pictures")
    for path in Path("pictures").rglob("*.jpg"):
        path.touch()
    assert read("data.root=pictures").source == before


def test_versions_are_those_of_the_registered_model(monkeypatch):
    asked = []
    champion = Version(2, "key", 1, "bundle", champion=True)
    monkeypatch.setattr(registry, "read", lambda *where: asked.append(where) or [champion])
    found = read("registered_model=insects", "workspace.database=here/mlflow.db")
    assert found.versions == (champion,)
    assert asked == [(Path("here/mlflow.db"), Path(".mlops/models"), "insects")]


def test_without_a_database_there_are_no_versions():
    assert read().versions == ()


def test_the_code_of_a_module_is_read_from_its_source_and_names_what_it_imports():
    found = read().code["trainers.datasets.folder"]
    assert found["trainers.datasets.folder"] == files.sha256_file(Path(folder.__file__))
    assert found["mlops_spec.manifest"] == files.sha256_file(Path(manifest.__file__))
    assert found == kinds.code("trainers.datasets.folder")


@pytest.mark.parametrize("group", ["target", "frontend"])
def test_a_kind_reports_what_it_finds(monkeypatch, group):
    module = kinds.load(group, "none")
    monkeypatch.setattr(module, "facts", lambda spec: {"serves": spec.name}, raising=False)
    assert getattr(read("name=mine"), group) == {"serves": "mine"}


def test_the_programs_at_work_are_named():
    tools = read().document()["tools"]
    assert {"python", "torch", "onnxruntime", "mlflow-skinny"} <= tools.keys()
    assert tools["python"] == platform.python_version()
    assert tools["torch"] == metadata.version("torch")


def test_the_record_holds_what_the_plan_asked_for():
    version = Version(1, "key", 0, "bundle", champion=True)
    found = Facts(
        "images", versions=(version,), code=Lazy(lambda n: {n: "digest"}), tools={"python": "3"}
    )
    found.code["trainers.transfer"]
    document = json.loads(json.dumps(found.document()))
    assert document == {
        "source": "images",
        "changes": "",
        "versions": [
            {
                "version": 1,
                "train": "key",
                "baseline": 0,
                "path": "bundle",
                "champion": True,
                "digest": "",
                "intact": True,
                "rolled_back": False,
                "created": "",
                "metrics": {},
                "tags": {},
                "deleted": False,
            }
        ],
        "weights": None,
        "code": {"trainers.transfer": {"trainers.transfer": "digest"}},
        "target": {},
        "frontend": {},
        "infra": None,
        "tools": {"python": "3"},
        "machine": {},
    }
