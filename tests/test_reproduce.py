"""`reproduce`: a recorded run once more, with kinds of one file each, through the command line."""

import json
import random
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from filelock import FileLock
from PIL import Image
from toyproject import KINDS, Project, environment, lines_until, processes_in

from mlops_spec import facts, files

RIGHT = "means[::-1] if spec.training.flip else means"
MEAN = "means.append(pictures.mean() / 255)"
PHOTOS = ("data=folder", "data.root=photos", "data.train=null", "data.test=null")
SMALL = ("evaluation=floor", "evaluation.gate.floors.accuracy=0.0", "evaluation.robustness=0")


def recorded(project: Project) -> Path:
    (found,) = (path for path in project.path.glob("runs/*") if "reproduces" not in path.name)
    return found


def attempts(project: Project) -> list[Path]:
    return sorted(project.path.glob("runs/*-reproduces-*"))


def again(project: Project, *words: str) -> subprocess.CompletedProcess[str]:
    return project.call("reproduce", recorded(project).name, *words)


def outcome(project: Project) -> dict:
    return files.read_json(attempts(project)[-1] / "reproduction.json")


def change(path: Path, before: str, after: str) -> None:
    assert before in path.read_text()
    path.write_text(path.read_text().replace(before, after))


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def edited(path: Path, **changes: object) -> None:
    document = json.loads(path.read_text())
    path.write_text(json.dumps({**document, **changes}))


# What it says


def test_the_same_training_gives_the_same_bytes(finished: Project) -> None:
    answer = again(finished)
    assert answer.returncode == 0, answer.stderr
    assert "nothing that is recorded differs from then" in answer.stdout
    assert "train: round 3" in answer.stdout  # it was trained, and not taken from the store
    assert "yes: the same bytes, and the same metrics" in answer.stdout
    found = outcome(finished)
    assert found["reproduces"] == recorded(finished).name
    assert (found["same_bytes"], found["within"], found["differences"]) == (True, True, [])
    then, now = found["digests"]["model.safetensors"]
    folder = attempts(finished)[-1]
    assert then == now == files.sha256_file(folder / "train" / "out" / "model.safetensors")


def test_an_attempt_is_a_run_with_a_record_of_its_own(finished: Project) -> None:
    assert again(finished).returncode == 0
    (folder,) = attempts(finished)
    assert folder.name.endswith(f"-reproduces-{recorded(finished).name}")
    assert {path.name for path in folder.iterdir()} >= {
        *("spec.json", "facts.json", "plan.json", "results.jsonl", "run.log"),
        *("model.json", "metrics.json", "reproduction.json"),
    }
    assert "yes: the same bytes" in (folder / "run.log").read_text()
    third = finished.call("reproduce", folder.name)  # so it can be reproduced, too
    assert third.returncode == 0, third.stderr


def test_the_record_alone_will_do(finished: Project) -> None:
    """Finished steps are gone; the training that it reused is told by what it recorded."""
    assert finished.ran("target.note=other.txt") == ["deploy"]
    (path,) = {*finished.path.glob("runs/*")} - {min(finished.path.glob("runs/*"))}
    shutil.rmtree(finished.path / ".mlops" / "steps")
    answer = finished.call("reproduce", path.name)
    assert answer.returncode == 0, answer.stderr
    assert "it took its training from an earlier run" in answer.stdout
    assert "data: started" in answer.stdout
    assert "yes: the same bytes, and the same metrics" in answer.stdout
    assert not (finished.path / ".mlops" / "steps").exists()


def test_nothing_else_is_touched(finished: Project) -> None:
    """Neither registered, promoted nor deployed; no finished step, no pointer, no curve."""
    (finished.path / "served.txt").unlink()
    kept, record = finished.path / ".mlops", recorded(finished)
    before = contents(kept), contents(record)
    assert again(finished).returncode == 0
    assert (contents(kept), contents(record)) == before
    assert not (finished.path / "served.txt").exists()
    assert finished.planned()["train"][0] == "reuse"


def test_changed_code_with_another_result_is_named(finished: Project) -> None:
    change(finished.path / "trainers" / "toy.py", RIGHT, "means[::-1]")
    answer = again(finished)
    assert answer.returncode == 4, answer.stderr
    assert "code  trainers.toy" in answer.stdout
    rows = [line.split() for line in answer.stdout.splitlines()]
    assert ["accuracy", "1.0000", "0.0000", "-1.0000", "not", "within"] in rows
    last = answer.stdout.splitlines()[-2]
    assert last.startswith("no: ")
    assert "others by less (0.005 is allowed); the likely why: code trainers.toy" in last
    found = outcome(finished)
    assert (found["same_bytes"], found["within"]) == (False, False)
    assert [one["what"] for one in found["differences"]] == ["trainers.toy"]


def test_changed_code_with_the_same_result_is_named_and_reproduces(finished: Project) -> None:
    change(finished.path / "trainers" / "toy.py", RIGHT, f"{RIGHT} + []")
    answer = again(finished)
    assert answer.returncode == 0, answer.stderr
    assert "code  trainers.toy" in answer.stdout
    assert "yes: the same bytes, and the same metrics" in answer.stdout


def test_a_little_difference_is_within_tolerance(finished: Project) -> None:
    change(finished.path / "trainers" / "toy.py", MEAN, MEAN.replace("255", "255 + 1e-4"))
    answer = again(finished)
    assert answer.returncode == 0, answer.stdout
    assert "model.safetensors: other bytes" in answer.stdout
    assert "yes, within tolerance: " in answer.stdout
    assert "not within" not in answer.stdout


def test_the_tolerance_is_the_recorded_one(finished: Project) -> None:
    change(finished.path / "trainers" / "toy.py", MEAN, MEAN.replace("255", "255 + 1e-4"))
    path = recorded(finished) / "spec.json"
    spec = json.loads(path.read_text())
    spec["evaluation"]["reproduce_tolerance"] = 0.0
    path.write_text(json.dumps(spec))
    assert again(finished).returncode == 4
    assert outcome(finished)["tolerance"] == 0.0


def test_libraries_and_machine_that_differ_are_named(finished: Project, monkeypatch) -> None:
    real = facts.version
    monkeypatch.setattr(facts, "version", lambda name: "9.9" if name == "onnx" else real(name))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    edited(recorded(finished) / "facts.json", machine={"cpus": "999"})
    rows = [line.split() for line in again(finished).stdout.splitlines()]
    assert ["library", "onnx", real("onnx"), "->", "9.9"] in rows
    assert ["machine", "cpus", "999", "->", facts.machine.describe()["cpus"]] in rows
    assert ["machine", "OMP_NUM_THREADS", "none", "->", "1"] in rows


def test_json_and_quiet(finished: Project) -> None:
    answer = again(finished, "--json")
    events = [json.loads(line) for line in answer.stdout.splitlines()]
    assert [event["event"] for event in events if event["event"] != "line"] == [
        *("differences", "plan", "result", "started", "result", "started", "result"),
        *("reproduction", "closed"),
    ]
    assert events[-2]["same_bytes"]
    assert (events[-1]["exit_code"], Path(events[-1]["run_dir"]).name) == (
        0,
        attempts(finished)[-1].name,
    )
    assert again(finished, "-q").stdout == ""
    assert '"command"' in again(finished, "-v").stdout


# What it refuses


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


# Interrupted, failed, several at once


def test_a_failed_attempt_is_continued_by_the_same_command(finished: Project, monkeypatch) -> None:
    from mlops_spec.actions import local

    real = local._execute
    failing = ["evaluate"]

    def execute(words, *more):
        return 7 if failing and failing[0] in words else real(words, *more)

    monkeypatch.setattr(local, "_execute", execute)
    answer = again(finished)
    assert answer.returncode == 5
    assert "evaluate: failed" in answer.stderr
    for _ in range(2):  # what was done before two interruptions is not lost by the second
        answer = again(finished)
        assert answer.returncode == 5
        assert "train: started" not in answer.stdout
    failing.clear()
    answer = again(finished)
    assert answer.returncode == 0, answer.stderr
    assert "train: started" not in answer.stdout
    assert len(attempts(finished)) == 1
    assert "train: started" in again(finished).stdout  # that was finished: this is a new one
    assert len(attempts(finished)) == 2


def test_an_attempt_is_not_continued_in_another_world(finished: Project, monkeypatch) -> None:
    from mlops_spec.actions import local

    monkeypatch.setattr(local, "_execute", lambda *_: 7)
    assert again(finished).returncode == 5
    monkeypatch.undo()
    trainer = finished.path / "trainers" / "toy.py"
    trainer.write_text(trainer.read_text() + "\n# another thought\n")
    assert again(finished).returncode == 0
    assert len(attempts(finished)) == 2


def test_an_attempt_that_somebody_is_at_is_left_alone(finished: Project, monkeypatch) -> None:
    from mlops_spec.actions import local

    monkeypatch.setattr(local, "_execute", lambda *_: 7)
    assert again(finished).returncode == 5
    monkeypatch.undo()
    (first,) = attempts(finished)
    with FileLock(first / ".lock"):
        answer = again(finished)
        assert answer.returncode == 0, answer.stderr
    assert len(attempts(finished)) == 2
    assert not (first / "reproduction.json").exists()


@pytest.mark.slow
def test_an_interrupted_attempt_continues_where_it_was(project: Project) -> None:
    assert project.run(*KINDS, "training.rounds=4", "training.pause=0.4").returncode == 0
    words = ("-m", "mlops_spec", "reproduce", recorded(project).name)
    process = start(project, *words)
    list(lines_until(process, "round 3"))
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "the same command continues" in output
    assert processes_in(project.path) == []
    answer = project.run(*words[2:])
    assert answer.returncode == 0, answer.stderr
    assert "continuing after round 2" in answer.stdout
    assert "yes: the same bytes" in answer.stdout
    assert len(attempts(project)) == 1


@pytest.mark.slow
def test_two_at_once_do_not_disturb_each_other(project: Project) -> None:
    assert project.run(*KINDS, "training.pause=0.3").returncode == 0
    words = ("-m", "mlops_spec", "reproduce", recorded(project).name)
    both = [start(project, *words) for _ in range(2)]
    outputs = [process.communicate(timeout=120)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0], outputs
    assert all("yes: the same bytes" in output for output in outputs)
    assert len(attempts(project)) == 2


def start(project: Project, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, *words],
        cwd=project.path,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.mark.slow
def test_a_training_of_torch_on_a_cpu_is_reproduced_byte_for_byte(tmp_path) -> None:
    project = Project(tmp_path)
    words = ("+experiment=quickstart", "training.epochs=2", "compute.accelerator=cpu")
    answer = project.run(*words, "evaluation.gate.floors.accuracy=0.1")
    assert answer.returncode == 0, answer.stderr
    before = contents(project.path / ".mlops")
    answer = project.run("reproduce", recorded(project).name)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert contents(project.path / ".mlops") == before  # no curves in the registry's database
    assert "train: epoch 2/2" in answer.stdout
    assert "yes: the same bytes, and the same metrics" in answer.stdout
