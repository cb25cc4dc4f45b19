"""`reproduce`: a recorded run once more, with kinds of one file each: what it says."""

import json
import shutil
from pathlib import Path

from reproducing import again, attempts, change, contents, edited, outcome, recorded
from toyproject import Project

from mlops_spec import facts, files

RIGHT = "means[::-1] if spec.training.flip else means"
MEAN = "means.append(pictures.mean() / 255)"


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
