"""Leaving when a signal says so, as on Ctrl-C: at once, or where what was done can be kept.

Python drops an exception that arises in a destructor or in a callback from C, and with it a
KeyboardInterrupt that happens to come there; so what goes on for long looks whether it was told.
"""

from __future__ import annotations

import os
import signal
import threading
from typing import Any

_listening, _told = threading.Event(), threading.Event()
_patient: set[int] = set()  # processes; those that load data are copies of the one that trains


def listen() -> None:
    """Raises KeyboardInterrupt at SIGINT and SIGTERM."""
    _listening.set()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _leave)


def listen_again() -> None:
    """Takes the signals back from a library that took them.

    Lightning's own answer to SIGTERM is to tell the other processes from inside of the handler; it
    waits for ever where they are in the middle of telling each other something else.
    """
    if _listening.is_set():
        listen()


def be_patient(*, patient: bool) -> None:
    """Whether the first signal is only noted, to be asked for with `told`; a second one never is.

    Args:
        patient: This process asks often.
    """
    if patient:
        _patient.add(os.getpid())
    else:
        _patient.clear()


def _leave(*_: Any) -> None:
    again = _told.is_set()
    _told.set()
    if again or os.getpid() not in _patient:
        raise KeyboardInterrupt


def told() -> bool:
    """Whether a signal has come, though its exception may have been dropped."""
    return _told.is_set()
