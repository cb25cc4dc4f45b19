"""The emulator ends when it is told to, and by itself when nobody has needed it for long."""

import asyncio
import subprocess
import sys
import time

import emulation
import pytest
from filelock import FileLock

from mlops_spec import files
from mlops_spec.emulator import activity, ending
from mlops_spec.errors import StateError

STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
    " print('ready', flush=True); time.sleep(60)"
)


@pytest.fixture
def stranger():
    """A process that is no emulator, and that does not end on SIGTERM."""
    with subprocess.Popen([sys.executable, "-c", STUBBORN], stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"ready\n"
        yield process
        assert process.poll() is None
        process.kill()


def stop(state):
    return emulation.emulator("stop", "--state", str(state))


def test_where_none_runs_there_is_none_to_end(tmp_path):
    for state in (tmp_path, tmp_path / "none"):
        answer = stop(state)
        assert (answer.returncode, answer.stdout) == (0, f"no emulator is running on {state}\n")


def test_a_process_that_has_got_its_number_is_left_alone(tmp_path):
    with subprocess.Popen(["sleep", "60"]) as process:
        files.write_json(tmp_path / "emulator.json", {"pid": process.pid})
        (tmp_path / "lock").touch()
        assert ending.stop(tmp_path) is None
        assert process.poll() is None
        process.kill()


def test_one_that_does_not_end_is_said(tmp_path, stranger):
    files.write_json(tmp_path / "emulator.json", {"pid": stranger.pid})
    with FileLock(tmp_path / "lock"), pytest.raises(StateError, match=r"(?s)not ended .*kill -9"):
        ending.stop(tmp_path, seconds=0.2)


def test_one_that_is_only_starting_is_said(tmp_path):
    with ending.alone(tmp_path), pytest.raises(StateError, match="only starting"):
        ending.stop(tmp_path)


def test_what_a_killed_one_has_left_is_not_taken_for_the_next_one_s(tmp_path):
    files.write_json(tmp_path / "emulator.json", {"pid": 1})
    with ending.alone(tmp_path):
        assert not (tmp_path / "emulator.json").exists()


@pytest.mark.parametrize("wrong", ["-1", "soon", "nan", "inf"])
def test_seconds_are_a_number(tmp_path, wrong):
    answer = emulation.emulator("--state", str(tmp_path), "--idle", wrong)
    assert answer.returncode == 2
    assert "--idle" in answer.stderr


def rested(known, seconds, *works):
    """After how many seconds it rests, when works of so many seconds begin at so many."""

    async def work(begins, lasts):
        await asyncio.sleep(begins)
        with known.work():
            await asyncio.sleep(lasts)

    async def all_of_it():
        going_on = [asyncio.create_task(work(*one)) for one in works]
        begun = time.monotonic()
        await known.rest(seconds)
        ended = time.monotonic()
        await asyncio.gather(*going_on)
        return ended - begun

    return asyncio.run(all_of_it())


def test_it_rests_so_long_after_the_last_work():
    assert 0.2 <= rested(activity.Activity(), 0.2) < 0.35
    # One that goes on for longer, and one that begins before the other has rested
    assert 0.8 <= rested(activity.Activity(), 0.2, (0.1, 0.4), (0.55, 0.05)) < 0.95


def test_without_an_end_it_never_rests():
    with pytest.raises(TimeoutError):
        asyncio.run(asyncio.wait_for(activity.Activity().rest(0), 0.1))


@pytest.mark.slow
def test_told_to_stop_it_has_ended(tmp_path):
    with emulation.running(tmp_path / "state") as azure:
        pid = azure.document["pid"]
        answer = stop(azure.state)
        said = f"ended the emulator of {azure.state}, process {pid}\n"
        assert (answer.returncode, answer.stdout) == (0, said)
        assert azure.process.wait(timeout=60) == 0  # all that it started has ended already
        assert not (azure.state / "emulator.json").exists()
        assert stop(azure.state).stdout == f"no emulator is running on {azure.state}\n"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_it_ends_when_nobody_needs_it_and_not_while_a_job_runs(tmp_path):
    from test_emulator_life import submitted

    with emulation.running(tmp_path / "state", "--idle", "3") as azure:
        name = submitted(emulation.client(), tmp_path, "sleep 6; echo said > ${{outputs.out}}/a")
        begun = time.monotonic()
        assert azure.process.wait(timeout=60) == 0
        assert 9 <= time.monotonic() - begun < 30
        assert "nobody has needed it for 3 s" in (tmp_path / "state.log").read_text("utf-8")
        assert not (azure.state / "emulator.json").exists()
    with emulation.running(tmp_path / "state"):
        assert emulation.client().jobs.get(name).status == "Completed"
