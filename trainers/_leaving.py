"""Leaving when a signal says so, as on Ctrl-C.

Python drops an exception that arises in a destructor or in a callback from C, and with it a
KeyboardInterrupt that happens to come there; so what goes on for long looks whether it was told.
"""

from __future__ import annotations

import signal
import threading
from typing import Any, NoReturn

_listening, _told = threading.Event(), threading.Event()


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


def _leave(*_: Any) -> NoReturn:
    _told.set()
    raise KeyboardInterrupt


def check() -> None:
    """Raises again what may have been dropped.

    Raises:
        KeyboardInterrupt: A signal has come.
    """
    if _told.is_set():
        raise KeyboardInterrupt
