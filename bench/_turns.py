"""Trainings that take turns: each runs only while it is asked for an epoch. For Linux."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


class Side:
    """A process that prints a line "epoch ..." when one is over, and is stopped after it.

    It has one thread for its arithmetic, unless OMP_NUM_THREADS says otherwise: several wait for
    each other, and where a neighbour takes one of the cores an epoch lasts ten times as long.
    """

    def __init__(self, words: list[str], extra: Mapping[str, str]) -> None:
        self.process = subprocess.Popen(
            [sys.executable, *words],
            env={"OMP_NUM_THREADS": "1", **os.environ, **extra},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.said: list[str] = []

    def kill(self) -> None:
        """Ends it wherever it is: stopped, it would stay for ever."""
        if self.process.returncode is None:
            self.process.kill()
        self.process.communicate()

    def epoch(self) -> float:
        """Lets it run to the end of an epoch; the seconds that took."""
        start = time.perf_counter()
        self.process.send_signal(signal.SIGCONT)
        assert self.process.stdout
        for line in self.process.stdout:
            self.said.append(line)
            if line.startswith("epoch "):
                self.process.send_signal(signal.SIGSTOP)
                return time.perf_counter() - start
        raise self._failure()

    def cpu(self) -> float:
        """Processor seconds that it has taken so far, which its neighbours hardly lengthen."""
        after_name = self._proc("stat").rpartition(")")[2].split()
        return sum(map(int, after_name[11:13])) / os.sysconf("SC_CLK_TCK")

    def resident(self) -> float:
        """The most memory that it has held so far, in MB."""
        return int(self._proc("status").partition("VmHWM:")[2].split()[0]) * 1024 / 1e6

    def end(self) -> tuple[float, float]:
        """Lets it run to its end; the seconds that took, and the most memory ever held, in MB."""
        start = time.perf_counter()
        self.process.send_signal(signal.SIGCONT)
        assert self.process.stdout
        self.said += self.process.stdout
        _, status, used = os.wait4(self.process.pid, 0)
        self.process.returncode = os.waitstatus_to_exitcode(status)
        if self.process.returncode:
            raise self._failure()
        return time.perf_counter() - start, used.ru_maxrss * 1024 / 1e6

    def _proc(self, name: str) -> str:
        return Path(f"/proc/{self.process.pid}/{name}").read_text("utf-8")

    def _failure(self) -> SystemExit:
        return SystemExit(f"{self.process.args} failed:\n{''.join(self.said)}")
