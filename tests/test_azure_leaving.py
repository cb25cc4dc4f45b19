"""Whoever submits a job may leave, be killed or lose the network: the next run finds it again."""

import os
import pty
import signal
import subprocess
import sys

import azure_runs
import emulation
import pytest
from azure_runs import Runs
from toyproject import environment, lines_until, make

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore"),  # of Azure's SDK, about itself
]
SLOW = ("training.rounds=40", "training.pause=0.2")


def test_a_job_that_nobody_waits_for_is_collected_by_the_next_run(runs: Runs) -> None:
    slow = ("training.rounds=30", "training.pause=0.2")
    code, said = runs.run(*slow, "compute.wait=false")
    assert code == 0
    assert runs.status() == "submitted"
    assert "the same command collects what came of it" in said
    emulation.ended(runs.client(), runs.job())
    said = runs.train(*slow)
    assert runs.status() == "done"
    assert runs.results()["train"]["seconds"] > 6, "the job's, not those that collecting it took"
    assert runs.of_training() == [""]


def test_a_job_that_failed_unseen_is_told_before_another_is_submitted(runs: Runs) -> None:
    once = ("training.fault=once",)
    assert runs.run(*once, "compute.wait=false")[0] == 0
    assert emulation.ended(runs.client(), runs.job()).status == "Failed"
    code, said = runs.run(*once)
    assert code == 5
    assert "train: failed: this trainer stops after its first round\n  start it again" in said
    assert runs.of_training() == [""]
    runs.train(*once)
    assert runs.status() == "done"
    assert runs.of_training() == ["", "-2"]


def test_a_job_that_still_runs_is_not_submitted_again(runs: Runs) -> None:
    slow = (*SLOW, "compute.wait=false")
    assert runs.run(*slow)[0] == 0
    code, said = runs.run(*slow)
    assert code == 0
    assert "was submitted before: " in said
    assert runs.status() == "submitted"
    assert runs.of_training() == [""]


def test_a_job_goes_on_when_its_run_is_interrupted(runs: Runs) -> None:
    process = runs.start(*SLOW)
    list(lines_until(process, "train: round 2"))
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    name = runs.job()
    assert f"job {name} goes on; the same command finds it again" in said
    assert f"to cancel it: az ml job cancel --name {name}" in said
    said = runs.train(*SLOW)
    assert "was submitted before: Running" in said
    assert runs.status() == "done"
    assert runs.of_training() == [""]


def until(descriptor: int, text: str) -> str:
    """What a terminal shows up to a text."""
    shown = ""
    while text not in shown:
        try:
            shown += os.read(descriptor, 4096).decode("utf-8", "replace")
        except OSError as error:
            raise AssertionError(shown) from error
    return shown


def test_somebody_at_a_terminal_is_asked_whether_to_cancel(runs: Runs) -> None:
    main, child = pty.openpty()
    words = [sys.executable, "-m", "mlops_spec", *runs.words(*SLOW)]
    process = subprocess.Popen(
        words,
        cwd=runs.project.path,
        env=environment(),
        stdin=child,
        stdout=child,
        stderr=child,
        start_new_session=True,
    )
    os.close(child)
    try:
        until(main, "round 2")
        process.send_signal(signal.SIGINT)
        until(main, "cancel job ")
        os.write(main, b"y\n")
        assert "is cancelled" in until(main, "the same command continues")
        assert process.wait(timeout=60) == 130
    finally:
        process.kill()
        os.close(main)
    assert emulation.ended(runs.client(), runs.job()).status == "Canceled"
    said = runs.train(*SLOW)
    assert "continuing after round " in said
    assert runs.of_training() == ["", "-2"]
    assert runs.status() == "done"


def test_a_run_that_is_killed_while_it_follows_finds_its_job_again(runs: Runs) -> None:
    azure_runs.killed(runs.start(*SLOW), "train: round 2")
    said = runs.train(*SLOW)
    assert "was submitted before: Running" in said
    assert said.count("train: round 1\n") == 1
    assert runs.status() == "done"
    assert runs.of_training() == [""]


@pytest.mark.parametrize("what", ["code", "data"])
def test_a_run_that_is_killed_while_it_uploads_continues(runs: Runs, what: str) -> None:
    part = {"code": "trainers/toy.py", "data": f"{runs.name}-data/"}[what]
    stuck = {"kind": "throttle", "on": f"PUT *{part}*", "count": 50, "seconds": 600}
    runs.azure.faults(stuck)
    before = len(runs.answers("PUT", part))
    process = runs.start()
    azure_runs.waited(lambda: 429 in runs.answers("PUT", part)[before:])
    process.kill()
    process.communicate(timeout=60)
    runs.train()
    assert runs.status("train") == "done"
    assert runs.of_training() == [""]


def test_an_emulator_that_has_ended_is_said_and_started_again(tmp_path) -> None:
    emulation.needed()
    project = make(tmp_path / "project")
    state = project.path / ".mlops" / "azure"
    state.mkdir(parents=True)
    (state / "azurite").symlink_to(emulation.AZURITE)
    runs = Runs(project, emulation.start(state), "toy")
    try:
        process = runs.start(*SLOW)
        list(lines_until(process, "train: round 5"))
        runs.azure.stop()
        said, _ = process.communicate(timeout=120)
        assert process.returncode == 5, said
        assert f"the emulator has ended, and job {runs.job()} with it" in said
        code, said = runs.run(*SLOW)
        assert code == 0, said
        assert f"submitted as job {runs.job()}-2 of " in said
        assert "continuing after round " in said
    finally:
        emulation.emulator("stop", "--state", str(state))
