"""`reproduce`: other questions, damaged records, runs that are not there."""

import json
import random
import re

import pytest
from PIL import Image
from reproducing import again, attempts, change, edited, recorded
from toyproject import KINDS, Project

from mlops_spec import files

PHOTOS = ("data=folder", "data.root=photos", "data.train=null", "data.test=null")
SMALL = ("evaluation=floor", "evaluation.gate.floors.accuracy=0.0", "evaluation.robustness=0")


def test_other_images_are_another_question(project: Project) -> None:
    noise = random.Random(0)
    for label in ("ants", "bees"):
        for i in range(12):
            path = project.path / "photos" / label / f"{i}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.frombytes("L", (16, 16), noise.randbytes(256)).save(path)
    words = ("name=toy", *PHOTOS, "training=toy", *SMALL)
    answer = project.call(*words)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    photos, registry = project.path / "photos", (project.path / ".mlops/mlflow.db").read_bytes()
    (photos / "ants" / "3.png").write_bytes((photos / "bees" / "3.png").read_bytes())
    (photos / "bees" / "3.png").unlink()
    answer = again(project)
    assert answer.returncode == 4
    assert "images  1 removed (bees/3.png), 1 changed (ants/3.png)" in answer.stdout
    assert "can not be reproduced: the images are not those of then" in answer.stderr
    assert "another data set is another question" in answer.stderr
    assert "train: started" not in answer.stdout
    photos.rename(project.path / "elsewhere")
    gone = again(project)
    assert gone.returncode == 4
    assert "the images can not be read: data.root: there is no folder photos" in gone.stderr
    assert (project.path / ".mlops/mlflow.db").read_bytes() == registry


def test_images_prepared_to_another_data_set_are_refused(finished: Project) -> None:
    change(finished.path / "trainers" / "datasets" / "toy.py", "random.seed(1)", "random.seed(2)")
    answer = again(finished)
    assert answer.returncode == 4
    assert "code  trainers.datasets.toy" in answer.stdout
    assert "the same files became another data set" in answer.stderr
    assert "train: started" not in answer.stdout


@pytest.mark.parametrize("what", ["changed", "gone"])
def test_other_weights_to_start_from_are_refused(finished: Project, what: str) -> None:
    weights = finished.path / "weights.bin"
    weights.write_bytes(b"weights")
    digest = files.sha256_file(weights)
    edited(recorded(finished) / "facts.json", weights={"path": "weights.bin", "digest": digest})
    assert "train: started" in again(finished).stdout  # they are what they were
    if what == "changed":
        weights.write_bytes(b"other weights")
    else:
        weights.unlink()
    answer = again(finished)
    assert answer.returncode == 4
    assert "weights" in answer.stderr
    assert "train: started" not in answer.stdout


@pytest.mark.parametrize("name", ["spec.json", "facts.json", "plan.json", "results.jsonl"])
@pytest.mark.parametrize("content", ["{", "[]", '{"schema_version": 1}', None])
def test_a_damaged_record_is_said_with_the_cure(
    finished: Project, name: str, content: str | None
) -> None:
    path = recorded(finished) / name
    if content is None:
        path.unlink()
    else:
        path.write_text(content)
    answer = again(finished)
    if name == "spec.json" and content and len(content) > 2:  # a spec that says nothing
        assert answer.returncode == 2
        assert re.search(rf"{name}  training +is not in the record", answer.stderr)
    else:
        assert answer.returncode == 1
        assert f"{name} is " in answer.stderr
        assert "restore it from a copy, or choose another run (the last: " in answer.stderr
    assert attempts(finished) == []


@pytest.mark.parametrize("step", ["data", "train", "evaluate"])
def test_a_plan_without_a_step_that_is_done_again_is_said(finished: Project, step: str) -> None:
    path = recorded(finished) / "plan.json"
    steps = json.loads(path.read_text())["steps"]
    edited(path, steps=[one for one in steps if one["step"]["id"] != step])
    answer = again(finished)
    assert answer.returncode == 1
    assert f"plan.json is not what a run records: it has no step {step}" in answer.stderr
    assert "restore it from a copy, or choose another run (the last: " in answer.stderr
    assert attempts(finished) == []


@pytest.mark.parametrize("key", ["../../elsewhere", "", "5bf3", "A" * 64, "a" * 64 + "\n"])
@pytest.mark.parametrize("where", ["key", "needs"])
def test_a_key_that_names_another_folder_is_said(finished: Project, where: str, key: str) -> None:
    path = recorded(finished) / "plan.json"
    steps = json.loads(path.read_text())["steps"]
    (one,) = (one for one in steps if one["step"]["id"] == ("data" if where == "key" else "train"))
    one[where] = key if where == "key" else {"data": key}
    edited(path, steps=steps)
    answer = again(finished)
    assert answer.returncode == 1
    assert f"a key of its step '{one['step']['id']}' is no sha256" in answer.stderr
    assert "restore it from a copy" in answer.stderr
    assert attempts(finished) == []


@pytest.mark.parametrize("name", ["model.json", "metrics.json"])
def test_a_record_without_its_model_is_said(finished: Project, name: str) -> None:
    (recorded(finished) / name).unlink()
    answer = again(finished)
    assert answer.returncode == 1
    assert f"{name} is gone" in answer.stderr
    assert "restore it from a copy, or choose another run" in answer.stderr


@pytest.mark.parametrize("name", ["spec.json", "plan.json", "results.jsonl"])
def test_a_record_of_a_newer_version_is_said(finished: Project, name: str) -> None:
    (recorded(finished) / name).write_text('{"schema_version": 99, "steps": []}\n')
    answer = again(finished)
    assert answer.returncode == 1
    assert "was written by a newer mlops_spec" in answer.stderr


def test_a_renamed_key_is_named(finished: Project) -> None:
    path = recorded(finished) / "spec.json"
    spec = json.loads(path.read_text())
    spec["training"]["turns"] = spec["training"].pop("rounds")
    path.write_text(json.dumps(spec))
    answer = again(finished)
    assert answer.returncode == 2
    assert re.search(r"spec.json  training.turns +unknown key", answer.stderr)
    assert re.search(r"spec.json  training.rounds +is not in the record", answer.stderr)
    assert "was recorded by other code of mlops_spec, 0." in answer.stderr


def test_a_run_that_made_no_model_is_refused(project: Project) -> None:
    assert project.call(*KINDS, "training.fault=crash").returncode == 5
    answer = again(project)
    assert answer.returncode == 1
    assert "made no model that was judged: its step train was failed" in answer.stderr


def test_a_run_is_named_by_folder_name_or_beginning(finished: Project) -> None:
    name = recorded(finished).name
    for word in (name, f"runs/{name}/", str(recorded(finished)), name[:9]):
        assert finished.call("reproduce", word).returncode == 0, word
    unknown = finished.call("reproduce", f"{name[:-1]}x")
    assert unknown.returncode == 2
    assert f"no such run; did you mean {name}?" in unknown.stderr
    (finished.path / "runs" / f"{name}-2").mkdir()
    assert "2 runs begin so" in finished.call("reproduce", name[:9]).stderr
    for words in ((), (name, name)):
        answer = finished.call("reproduce", *words)
        assert answer.returncode == 2
        assert f"reproduce RUN (the last: {name}" in answer.stderr
    assert "takes no KEY=VALUE" in finished.call("reproduce", name, "seed=1").stderr
