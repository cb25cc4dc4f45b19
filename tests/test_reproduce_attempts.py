"""`reproduce`: interrupted, failed, several at once, and with torch."""

import signal

import pytest
from filelock import FileLock
from reproducing import again, attempts, contents, recorded, start
from toyproject import KINDS, Project, lines_until, processes_in

from mlops_spec.actions import local


def test_a_failed_attempt_is_continued_by_the_same_command(finished: Project, monkeypatch) -> None:
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
    monkeypatch.setattr(local, "_execute", lambda *_: 7)
    assert again(finished).returncode == 5
    monkeypatch.undo()
    trainer = finished.path / "trainers" / "toy.py"
    trainer.write_text(trainer.read_text() + "\n# another thought\n")
    assert again(finished).returncode == 0
    assert len(attempts(finished)) == 2


def test_an_attempt_that_somebody_is_at_is_left_alone(finished: Project, monkeypatch) -> None:
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
