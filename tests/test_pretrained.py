"""Which files a training starts from: named in the spec, found in the world, part of the key."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import small_bundle
from world import Now, World

from mlops_spec import bundle, kinds, pretrained, registry
from mlops_spec.errors import SpecError, StateError, StepError
from mlops_spec.pretrained import Pretrained
from mlops_spec.registry import Version
from mlops_spec.weights import find as find_weights
from mlops_spec.where import AzureWorkspace, LocalWorkspace

GUID = "00000000-0000-0000-0000-000000000000"


def spec(weights, workspace=None):
    local = LocalWorkspace(kind="local", database="registry.db")
    model = SimpleNamespace(weights=weights)
    return SimpleNamespace(model=model, workspace=workspace or local)


def version(number, *, champion=False, intact=True):
    path = f"models/dogs/{number}"
    return Version(number, "", 0, path, champion, f"digest{number}", intact)


@pytest.fixture(autouse=True)
def _registered(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    versions = {"dogs": [version(1), version(2, champion=True), version(3, intact=False)]}
    versions["cats"] = [version(1)]
    monkeypatch.setattr(registry, "read", lambda _database, _models, name: versions.get(name, []))


def find(weights, workspace=None):
    return find_weights(spec(weights, workspace), models=None)


@pytest.mark.parametrize("weights", ["none", "imagenet"])
def test_some_weights_are_no_files(weights):
    assert find(weights) is None


def test_a_file_is_known_by_its_content(tmp_path):
    (tmp_path / "a.safetensors").write_bytes(b"one")
    (tmp_path / "b.safetensors").write_bytes(b"one")
    first, second = (find(str(tmp_path / f"{name}.safetensors")) for name in "ab")
    assert first.digest == second.digest
    (tmp_path / "b.safetensors").write_bytes(b"two")
    assert find(second.path).digest != first.digest


def test_a_bundle_is_known_by_its_network_and_weights(tmp_path):
    one, other = small_bundle.make(tmp_path / "one"), small_bundle.make(tmp_path / "other", scale=2)
    assert find(str(one)).digest != find(str(other)).digest


@pytest.mark.parametrize(("weights", "number"), [("model:dogs", 2), ("model:dogs/1", 1)])
def test_a_registered_model_is_its_champion_or_the_version_asked_for(weights, number):
    bundle = small_bundle.make(Path(f"models/dogs/{number}"), scale=number)
    assert find(weights) == Pretrained(str(bundle), pretrained.digest(bundle))
    other = small_bundle.make(Path("other"), scale=number + 1)
    assert pretrained.digest(other) != pretrained.digest(bundle)


@pytest.mark.parametrize(
    "changes", [{"labels": ("a", "b", "c")}, {"activation": "sigmoid"}, {"preprocessing": "other"}]
)
def test_a_bundle_with_another_card_is_another_start(tmp_path, changes):
    folder = small_bundle.make(tmp_path / "bundle")
    card, before = bundle.read(folder), pretrained.digest(folder)
    if "preprocessing" in changes:
        changes = {"preprocessing": card.preprocessing.model_copy(update={"mean": (0.9,) * 3})}
    bundle.write(folder, card.model_copy(update={"metrics": {"accuracy": 1.0}}))
    assert pretrained.digest(folder) == before
    bundle.write(folder, card.model_copy(update=changes))
    assert pretrained.digest(folder) != before


def test_a_folder_that_is_no_bundle_is_said(tmp_path):
    with pytest.raises(SpecError, match=r"is no model bundle: it has no model\.json"):
        plan(None, None, f"model.weights={tmp_path}")


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ("model:birds", "no model is registered as birds"),
        ("model:cats", r"cats has no champion \(versions: 1\)"),
        ("model:dogs/7", r"dogs has no version 7 \(versions: 1, 2, 3\)"),
        ("model:dogs/3", "the bundle of dogs 3 is gone"),
    ],
)
def test_a_registered_model_that_is_not_there_is_said(weights, message):
    with pytest.raises(StateError, match=message):
        find(weights)


def test_a_model_registered_in_the_cloud_is_refused_with_the_cure():
    where = {"subscription_id": GUID, "location": "westeurope", "prefix": "ml", "names": {}}
    cloud = AzureWorkspace(kind="azure", **where)
    with pytest.raises(StateError, match=r"model\.weights=path/to/bundle"):
        find("model:dogs", cloud)


def plan(weights=None, world=None, *words):
    now = Now(["+experiment=quickstart", *words], weights=weights)
    return (world or World()).plan(now)


def test_a_plan_says_that_the_weights_are_others(tmp_path):
    (tmp_path / "w.pt").touch()
    words = ["+experiment=quickstart", f"model.weights={tmp_path / 'w.pt'}"]
    world = World().after({"overrides": words, "weights": Pretrained("w.pt", "a")})
    step = world.plan(Now(words, weights=Pretrained("w.pt", "b"))).steps[1]
    assert (step.status, step.why) == ("run", "other weights to start from")


def test_weights_are_part_of_what_training_is(tmp_path):
    (tmp_path / "w.pt").touch()
    word = f"model.weights={tmp_path / 'w.pt'}"
    steps = [plan(Pretrained("w.pt", digest), None, word).steps[1] for digest in "aba"]
    assert steps[0].key == steps[2].key != steps[1].key
    assert steps[0].step.payload["inputs"] == {"weights": "w.pt"}
    words = steps[0].step.payload["command"]
    assert words[words.index("--weights") :][:4] == [
        *("--weights", "${{weights}}", "--weights-digest", "a"),
    ]


@pytest.mark.parametrize(("named", "given"), [("none", "w.pt"), ("w.pt", None)])
def test_a_step_by_hand_has_the_weights_that_its_spec_names(tmp_path, named, given):
    from small_training import settings, step

    from trainers import transfer

    whole = step(settings())
    named_so = whole.model.model_copy(update={"weights": named})
    with pytest.raises(StepError, match=f"model.weights={named} and --weights {given}"):
        transfer.train(whole.model_copy(update={"model": named_so}), tmp_path, tmp_path, given)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["model.weights=imagnet"], "there is no file imagnet"),
        (["model.weights=imagenet"], "small_cnn has no pretrained weights"),
        (["model.weights=model:digits"], "name the version: model.weights=model:digits/VERSION"),
        (
            ["training.batch_size=2", "compute.devices=2", "model.head.hidden=8"],
            "BatchNorm in the head needs two",
        ),
        (["model.head.keep=true"], "only a file of weights has a head"),
    ],
)
def test_contradictions_of_weights_are_said(words, message):
    with pytest.raises(SpecError, match=message):
        plan(None, None, *words)


def test_how_a_registry_is_read_is_no_part_of_training():
    code = kinds.code("trainers.transfer")
    assert "mlops_spec.pretrained" in code
    assert not [name for name in code if "regist" in name or "champion" in name]
