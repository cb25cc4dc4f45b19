"""A signal is heard even where Python drops the exception that it raises."""

import subprocess
import sys

import pytest

SCRIPT = """
import os, signal
from trainers import _leaving
print(_leaving.told())
_leaving.listen()
class Late:
    def __del__(self):
        os.kill(os.getpid(), signal.{name})
        sum(range(100_000))
Late()
print("dropped")
print(_leaving.told())
"""


def test_signals_are_taken_back_from_who_took_them() -> None:
    script = "import signal; from trainers import _leaving; _leaving.listen_again()\n"
    script += "print(signal.getsignal(signal.SIGTERM) is signal.SIG_DFL); _leaving.listen()\n"
    script += "signal.signal(signal.SIGTERM, signal.SIG_IGN); _leaving.listen_again()\n"
    script += "print(signal.getsignal(signal.SIGTERM) is _leaving._leave)"
    words = [sys.executable, "-c", script]
    said = subprocess.run(words, capture_output=True, text=True, check=False)
    assert said.stdout.split() == ["True", "True"], said.stderr


PATIENT = """
import os, signal
from trainers import _leaving
_leaving.listen()
_leaving.be_patient(patient=True)
if os.fork():
    status = os.wait()[1]
    print("noted")
    os.kill(os.getpid(), signal.SIGTERM)
    print(_leaving.told())
try:
    os.kill(os.getpid(), signal.SIGTERM)
except KeyboardInterrupt:
    print("left", flush=True)
"""


def test_who_asks_often_is_left_to_leave_but_for_a_second_signal() -> None:
    words = [sys.executable, "-c", PATIENT]
    said = subprocess.run(words, capture_output=True, text=True, check=False)
    assert said.stdout.split() == ["left", "noted", "True", "left"], said.stderr


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_signal_that_comes_in_a_destructor_is_not_lost(name) -> None:
    words = [sys.executable, "-c", SCRIPT.format(name=name)]
    said = subprocess.run(words, capture_output=True, text=True, check=False)
    assert said.stdout.split() == ["False", "dropped", "True"], said.stderr
