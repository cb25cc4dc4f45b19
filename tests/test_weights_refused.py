"""Files of weights that are damaged, hostile, or answer something else."""

import contextlib
import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from small_weights import bundle_of, load, model, network_of

from mlops_spec import bundle
from mlops_spec.errors import StepError
from trainers._torch import weights


class Evil:
    """A pickle that creates a file when it is read."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


@pytest.mark.parametrize("name", ["evil.pt", "evil.safetensors"])
def test_a_pickle_that_wants_to_run_code_is_refused_and_does_not(tmp_path, name) -> None:
    (tmp_path / name).write_bytes(pickle.dumps({"conv1.weight": Evil(tmp_path / "ran")}))
    with pytest.raises(StepError, match="no file of weights") as error:
        weights.read(tmp_path / name, 3)
    assert "torch.save(model.state_dict()" in str(error.value)
    assert not (tmp_path / "ran").exists()


def test_a_whole_pickled_model_is_refused(tmp_path) -> None:
    torch.save(torch.nn.Linear(2, 2), tmp_path / "whole.pt")
    with pytest.raises(StepError, match="wants to run code"):
        weights.read(tmp_path / "whole.pt", 3)


@pytest.mark.parametrize("name", ["cut.safetensors", "cut.pt", "empty.pt", "empty.safetensors"])
def test_a_damaged_file_is_refused(tmp_path, name) -> None:
    _, trained = network_of(model())
    path = tmp_path / name
    (save_file if name.endswith("s") else torch.save)(trained.state_dict(), path)
    path.write_bytes(path.read_bytes()[: 500 if name.startswith("cut") else 0])
    with pytest.raises(StepError, match=f"{name} is"):
        weights.read(path, 3)


@pytest.mark.parametrize("start", range(0, 2000, 40))
def test_no_damage_escapes(tmp_path, start) -> None:
    """Flipped bytes are refused, or change a number; nothing else is raised."""
    torch.save({"a": torch.ones(2), "b": {"c": 1}}, tmp_path / "w.pt")
    content = bytearray((tmp_path / "w.pt").read_bytes())
    content[start % len(content)] ^= 0xFF
    (tmp_path / "w.pt").write_bytes(content)
    with contextlib.suppress(StepError):
        weights.read(tmp_path / "w.pt", 3)


@pytest.mark.parametrize("content", [{"state_dict": None}, ["a"], {"a": 1}])
def test_other_contents_are_refused(tmp_path, content) -> None:
    torch.save(content, tmp_path / "w.pt")
    with pytest.raises(StepError, match="holds no tensors"):
        weights.read(tmp_path / "w.pt", 3)


@pytest.mark.parametrize("kind", ["nan", "complex", "sparse", "int8"])
def test_tensors_that_nothing_can_be_learned_from_are_refused(tmp_path, kind) -> None:
    _, trained = network_of(model())
    state = trained.state_dict()
    first = state["backbone.0.weight"]
    odd = {
        "nan": first * float("nan"),
        "complex": first * 1j,
        "sparse": first.to_sparse(),
        "int8": first.to(torch.int8),
    }[kind]
    torch.save({**state, "backbone.0.weight": odd}, tmp_path / "w.pt")
    with pytest.raises(StepError, match=r"nothing can be learned from the numbers of 0\.weight"):
        load(tmp_path / "w.pt", model())


def test_a_head_for_several_labels_is_not_kept_for_one(tmp_path) -> None:
    _, trained = network_of(model())
    folder = bundle_of(tmp_path / "bundle", trained)
    bundle.write(folder, bundle.read(folder).model_copy(update={"activation": "sigmoid"}))
    with pytest.raises(StepError, match="another number of labels"):
        load(folder, model(keep=True))


def test_a_file_without_tensors_is_refused(tmp_path) -> None:
    torch.save({"epoch": 3, "state_dict": {}}, tmp_path / "none.pt")
    with pytest.raises(StepError, match="holds no tensors by name"):
        weights.read(tmp_path / "none.pt", 3)


def test_a_head_of_other_classes_is_not_kept(tmp_path) -> None:
    _, trained = network_of(model())
    folder = bundle_of(tmp_path / "bundle", trained, ("ants", "wasps"))
    message = "answers 2 classes, the data set has 3; only it has wasps; it lacks bees, flies"
    with pytest.raises(StepError, match=message) as error:
        load(folder, model(keep=True), ("ants", "bees", "flies"))
    assert "model.head.keep=false" in str(error.value)


def test_a_head_of_classes_in_another_order_is_not_kept(tmp_path) -> None:
    _, trained = network_of(model())
    folder = bundle_of(tmp_path / "bundle", trained, ("bees", "ants"))
    with pytest.raises(StepError, match="their order differs"):
        load(folder, model(keep=True))


def test_a_head_of_unknown_classes_is_not_kept(tmp_path) -> None:
    _, trained = network_of(model())
    save_file(trained.state_dict(), tmp_path / "own.safetensors")
    with pytest.raises(StepError, match="does not say which classes"):
        load(tmp_path / "own.safetensors", model(keep=True))


def test_a_changed_bundle_is_refused(tmp_path) -> None:
    _, trained = network_of(model())
    folder = bundle_of(tmp_path / "bundle", trained)
    (folder / "model.safetensors").write_bytes(b"other")
    with pytest.raises(Exception, match="is not the file that training recorded"):
        weights.read(folder, 3)
