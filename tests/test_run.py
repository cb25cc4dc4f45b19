"""Run, reuse and reasons, through the command line, with kinds of one file each."""

import json

import pytest
from toyproject import KINDS, Project

from mlops_spec import card

STEPS = ["data", "train", "evaluate", "gate", "report", "register", "deploy"]


def test_kinds_of_one_file_are_validated_planned_and_applied(finished: Project) -> None:
    (results,) = finished.path.glob("runs/*/results.jsonl")
    rows = [json.loads(line) for line in results.read_text().splitlines()]
    assert [(row["id"], row["status"]) for row in rows] == [(step, "done") for step in STEPS]
    assert rows[2]["metrics"]["accuracy"] == 1.0
    assert json.loads((finished.path / "served.txt").read_text())["version"] == 1


def test_run_folder_records_everything_with_a_schema_version(finished: Project) -> None:
    (run,) = finished.path.glob("runs/*")
    assert {p.name for p in run.iterdir()} == {
        *("spec.json", "facts.json", "plan.json", "results.jsonl", "run.log"),
        *("data.html", "report.html", "model.json", "metrics.json"),
    }
    model = json.loads((run / "model.json").read_text())  # with a version of its own
    assert model["schema_version"] == card.SCHEMA_VERSION
    written = [path for path in run.glob("*.json") if path.name != "model.json"]
    documents = [*written, *finished.path.glob(".mlops/steps/*/result.json")]
    assert len(documents) == 4 + len(STEPS)
    assert {json.loads(path.read_text())["schema_version"] for path in documents} == {1}
    assert json.loads((run / "spec.json").read_text())["training"]["kind"] == "toy"
    assert json.loads((run / "plan.json").read_text())["overrides"] == list(KINDS)
    assert "train      round 3" in (run / "run.log").read_text()


def test_step_runs_the_command_that_its_plan_says(finished: Project) -> None:
    record = json.loads(finished.result_files()["train"].read_text())
    command = record["payload"]["command"]
    assert command[:4] == ["python", "-m", "trainers", "train"]
    spec = json.loads((finished.result_files()["train"].parent / "spec.json").read_text())
    assert {"schema_version": 1, **record["payload"]["spec"]} == spec


def test_second_run_does_nothing_and_leaves_no_trace(finished: Project) -> None:
    before = finished.tree()
    answer = finished.call(*KINDS)
    assert answer.returncode == 0
    assert "nothing to do, all 7 steps are up to date" in answer.stdout
    assert finished.tree() == before


def test_plan_writes_nothing(project: Project) -> None:
    before = project.tree()
    assert {status for status, _ in project.planned().values()} == {"run"}
    assert {p for p in project.tree() - before if "__pycache__" not in p} == set()


def test_changed_target_redeploys_and_does_not_retrain(finished: Project) -> None:
    assert finished.ran("target.note=other.txt") == ["deploy"]
    assert (finished.path / "other.txt").exists()


@pytest.mark.slow
def test_changed_gate_is_judged_again_without_retraining(finished: Project) -> None:
    assert finished.ran("evaluation.gate.floors.accuracy=0.4") == [
        "gate",
        "report",
        "register",
        "deploy",
    ]


def test_reason_names_the_line_that_changed(finished: Project) -> None:
    experiment = finished.path / "conf" / "experiment" / "mine.yaml"
    experiment.parent.mkdir()
    experiment.write_text("# @package _global_\ntraining:\n  rounds: 4\n")
    plan = finished.planned("+experiment=mine")
    assert plan["data"][0] == "reuse"
    assert plan["train"] == ("run", "training.rounds 3 -> 4, conf/experiment/mine.yaml:3")
    assert plan["evaluate"] == ("run", "train runs")


def test_changed_code_runs_its_step_again_and_is_named(finished: Project) -> None:
    trainer = finished.path / "trainers" / "toy.py"
    trainer.write_text(trainer.read_text() + "\n# another thought\n")
    plan = finished.planned()
    assert plan["data"][0] == "reuse"
    assert plan["train"] == ("run", "code changed: trainers.toy")


@pytest.mark.slow
def test_missing_output_runs_again(finished: Project) -> None:
    out = finished.result_files()["train"].parent / "out"
    (out / "model.onnx").unlink()
    assert finished.planned()["train"] == ("run", "its output model.onnx is gone")
    assert "train" in finished.ran()
    assert (out / "model.onnx").exists()


def test_world_that_drifted_is_mended(finished: Project) -> None:
    (finished.path / "served.txt").unlink()
    assert finished.planned()["deploy"] == ("run", "the note is gone")
    assert finished.ran() == ["deploy"]
    assert (finished.path / "served.txt").exists()


def test_step_that_was_repeated_with_another_outcome_is_not_taken_for_the_old_one(
    finished: Project,
) -> None:
    """Training is done anew and gives other weights; what judged the old ones is not reused."""
    record = finished.result_files()["train"]
    document = json.loads(record.read_text())
    record.write_text(json.dumps({**document, "digest": "other"}))
    assert finished.planned()["evaluate"] == ("run", "train has other outputs now")
    assert finished.planned()["train"][0] == "reuse"


def test_lost_bundle_is_registered_again(finished: Project) -> None:
    (bundle,) = finished.path.glob(".mlops/models/toy/*")
    (bundle / "model.json").unlink()
    assert finished.planned()["register"] == ("run", "its bundle is gone")
    answer = finished.call("plan", *KINDS, "training.rounds=9")
    assert answer.returncode == 1
    assert "the bundle of champion toy 1 is gone" in answer.stderr
    assert "restore .mlops/models/toy/" in answer.stderr


def test_lost_registry_is_registered_again(finished: Project) -> None:
    (finished.path / ".mlops" / "mlflow.db").unlink()
    assert finished.planned()["register"] == ("run", "it is not champion of toy")


def test_refused_model_is_a_result_with_its_own_exit_code(finished: Project) -> None:
    answer = finished.call(*KINDS, "training.flip=true")
    assert answer.returncode == 3
    assert "gate: refused" in answer.stdout
    assert "register: skipped: gate refused" in answer.stdout
    assert json.loads((finished.path / "served.txt").read_text())["version"] == 1
    assert finished.ran("training.flip=true") == []
    assert finished.call(*KINDS, "training.flip=true").returncode == 3
    assert finished.call(*KINDS).returncode == 0


def test_failed_step_skips_only_what_needs_it(project: Project) -> None:
    answer = project.call(*KINDS, "training.fault=crash", "benchmark=majority")
    assert answer.returncode == 5
    assert "RuntimeError: this trainer crashes" in answer.stderr
    assert "evaluate: skipped: train failed" in answer.stdout
    assert "benchmark: done" in answer.stdout
    assert "log.txt" in answer.stderr


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"schema_version": 1}', ""])
def test_damaged_record_makes_its_step_run_again(finished: Project, content: str) -> None:
    finished.result_files()["gate"].write_text(content)
    status, why = finished.planned()["gate"]
    assert status == "run"
    assert "is damaged" in why


@pytest.mark.slow
def test_damaged_record_is_replaced_by_the_next_run(finished: Project) -> None:
    finished.result_files()["gate"].write_text("{")
    assert finished.ran() == ["gate", "report", "register", "deploy"]
    assert finished.ran() == []


def test_state_of_a_newer_version_is_left_alone(finished: Project) -> None:
    path = finished.result_files()["train"]
    newer = json.dumps({"schema_version": 99, "steps": "of another kind"})
    path.write_text(newer)
    answer = finished.call(*KINDS)
    assert answer.returncode == 1
    assert "was written by a newer mlops_spec" in answer.stderr
    assert "upgrade mlops_spec" in answer.stderr
    assert path.read_text() == newer


def test_damaged_registry_is_said_and_left_alone(finished: Project) -> None:
    database = finished.path / ".mlops" / "mlflow.db"
    database.write_bytes(b"not a database" * 100)
    answer = finished.call(*KINDS)
    assert answer.returncode == 1
    assert "mlflow.db can not be read" in answer.stderr
    assert "Traceback" not in answer.stderr
    assert database.read_bytes().startswith(b"not a database")


def test_json_output_is_one_document_a_line(finished: Project) -> None:
    events = finished.events("target.note=third.txt")
    assert [event["event"] for event in events] == [
        *("plan", *["result"] * 6, "started", "result", "closed"),
    ]
    assert events[-1]["exit_code"] == 0


def test_quiet_says_nothing_and_verbose_shows_requests(finished: Project) -> None:
    assert finished.call(*KINDS, "-q", "target.note=q.txt").stdout == ""
    answer = finished.call(*KINDS, "-v", "target.note=v.txt").stdout
    assert '"note": "v.txt"' in answer


@pytest.mark.slow
def test_secret_reaches_the_step_and_no_file_or_log(project: Project, monkeypatch) -> None:
    monkeypatch.setenv("TOY_TOKEN", "s3cr3t-value")
    words = [*KINDS, "target=none", "compute.environment.TOY='${secret:TOY_TOKEN}'"]
    trainer = project.path / "trainers" / "toy.py"
    leak = "    checkpoints = out_dir"
    shown = '    import os; print("token is", os.environ["TOY"], len(os.environ["TOY"]))\n'
    trainer.write_text(trainer.read_text().replace(leak, shown + leak))
    answer = project.run(*words)
    assert answer.returncode == 0, answer.stderr
    assert "token is *** 12" in answer.stdout
    for path in project.path.rglob("*"):
        assert not path.is_file() or b"s3cr3t-value" not in path.read_bytes(), path


def test_secret_that_is_not_set_names_it(project: Project) -> None:
    answer = project.call(*KINDS, "compute.environment.TOY='${secret:TOY_TOKEN}'")
    assert answer.returncode == 5
    assert "the secret TOY_TOKEN is not set" in answer.stderr
