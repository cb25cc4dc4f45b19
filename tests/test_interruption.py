"""Ctrl-C, kill -9, two at once: nothing is lost or left running, the next run continues."""

import json
import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from toyproject import KINDS, Project, lines_until, processes_in

SLOW = ("training.rounds=4", "training.pause=0.4", "target=none")


def step_process(project: Project) -> int:
    (found,) = [
        pid
        for pid in processes_in(project.path)
        if b"trainers" in Path(f"/proc/{pid}/cmdline").read_bytes()
    ]
    return found


def wait_until_gone(project: Project) -> None:
    for pid in processes_in(project.path):
        descriptor = os.pidfd_open(pid)
        try:
            ready, _, _ = select.select([descriptor], [], [], 30)
            assert ready, f"process {pid} is still there"
        finally:
            os.close(descriptor)


@pytest.mark.slow
@pytest.mark.parametrize("polite", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_run_continues_where_it_was(project: Project, polite: int) -> None:
    process = project.start(*SLOW)
    list(lines_until(process, "round 3"))
    process.send_signal(polite)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "the same command continues" in output
    assert processes_in(project.path) == []
    (results,) = project.path.glob("runs/*/results.jsonl")
    assert json.loads(results.read_text().splitlines()[-1])["status"] == "interrupted"
    assert project.planned(*SLOW)["train"] == ("run", "it did not finish the last time")
    again = project.run(*KINDS, *SLOW)
    assert again.returncode == 0
    assert "continuing after round 2" in again.stdout
    assert "data: started" not in again.stdout


@pytest.mark.slow
def test_killed_step_fails_its_run_and_continues_in_the_next(project: Project) -> None:
    process = project.start(*SLOW)
    list(lines_until(process, "round 3"))
    os.kill(step_process(project), signal.SIGKILL)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 5
    assert "was killed by signal 9" in output
    again = project.run(*KINDS, *SLOW)
    assert again.returncode == 0
    assert "continuing after round 2" in again.stdout


@pytest.mark.slow
def test_step_leaves_when_its_engine_was_killed(project: Project) -> None:
    process = project.start("training.fault=hang", "target=none")
    list(lines_until(process, "round 1"))
    process.kill()
    process.wait(timeout=60)
    assert process.stdout
    process.stdout.close()
    wait_until_gone(project)
    again = project.run(*KINDS, "target=none")
    assert again.returncode == 0


@pytest.mark.slow
def test_second_run_of_an_experiment_is_held_off(project: Project) -> None:
    process = project.start("training.fault=hang", "target=none")
    list(lines_until(process, "round 1"))
    second = project.run(*KINDS)
    assert second.returncode == 1
    assert "another run of toy is at work in this folder" in second.stderr
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 130


@pytest.mark.slow
def test_two_experiments_share_a_step_without_harm(project: Project) -> None:
    words = ["-m", "mlops_spec", *KINDS[1:], "target=none", "training.pause=0.2"]
    both = [
        subprocess.Popen(
            [sys.executable, *words, f"name={name}", "registered_model=shared"],
            cwd=project.path,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for name in ("one", "two")
    ]
    outputs = [process.communicate(timeout=120)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0], outputs
    records = list(project.path.glob(".mlops/steps/*/result.json"))
    assert sorted(json.loads(path.read_text())["id"] for path in records) == [
        *("data", "evaluate", "gate", "register", "report", "train"),
    ]
