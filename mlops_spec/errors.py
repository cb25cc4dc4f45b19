"""Every error a person meets, and every exit code.

    MlopsError            what happened + likely cause + what to do next
    ├── SpecError         2  the spec is wrong: all its problems at once
    ├── StateError        1  the disk, a lock or recorded state is in the way
    ├── StepError         5  a step could not do its work
    └── DifferentError    4  what is to be compared can not be, since it is about something else

A gate that says no is a result, not an error: exit code 3 without an exception.
"""

from __future__ import annotations

import difflib
import errno
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


class ExitCode(IntEnum):
    """What the process tells its caller."""

    DONE = 0
    UNEXPECTED = 1
    BAD_SPEC = 2
    REFUSED = 3
    DIFFERENT = 4
    STEP_FAILED = 5
    INTERRUPTED = 130


EXIT_MEANINGS = {
    ExitCode.DONE: "done, or nothing to do",
    ExitCode.UNEXPECTED: "unexpected: a bug, or the disk, a lock or recorded state is in the way",
    ExitCode.BAD_SPEC: "bad spec or command line; nothing was started",
    ExitCode.REFUSED: "the gate said no; the champion stays",
    ExitCode.DIFFERENT: "`check`, `--check` or `reproduce` found a difference",
    ExitCode.STEP_FAILED: "a step failed, and the same command continues from there;"
    " or `models verify` found a problem",
    ExitCode.INTERRUPTED: "interrupted; the same command continues from there",
}

# How bad each outcome is for a sweep, which exits with the code of its worst member.
SEVERITY = [
    ExitCode.DONE,
    ExitCode.REFUSED,
    ExitCode.DIFFERENT,
    ExitCode.STEP_FAILED,
    ExitCode.UNEXPECTED,
    ExitCode.BAD_SPEC,
    ExitCode.INTERRUPTED,
]


def worst(codes: Iterable[ExitCode]) -> ExitCode:
    """The most severe of several exit codes; DONE for none."""
    return max(codes, key=SEVERITY.index, default=ExitCode.DONE)


@dataclass(frozen=True)
class Problem:
    """One thing wrong with a spec: where it was written, which key, what and how to mend it."""

    where: str
    key: str
    message: str

    def as_row(self, widths: tuple[int, int]) -> str:
        """The problem as one line, its columns padded to `widths`."""
        return f"{self.where:<{widths[0]}}  {self.key:<{widths[1]}}  {self.message}".rstrip()


class MlopsError(Exception):
    """An error a person can act on.

    Args:
        message: What happened, and the likely cause.
        cure: What to do next; empty when the message says it already.
    """

    exit_code = ExitCode.UNEXPECTED

    def __init__(self, message: str, cure: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.cure = cure

    def __str__(self) -> str:
        return f"{self.message}\n  {self.cure}" if self.cure else self.message


class SpecError(MlopsError):
    """The spec is wrong; carries every problem found, so that one round of mending is enough."""

    exit_code = ExitCode.BAD_SPEC

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        widths = (
            max((len(p.where) for p in problems), default=0),
            max((len(p.key) for p in problems), default=0),
        )
        super().__init__("\n".join(p.as_row(widths) for p in problems))


class StateError(MlopsError):
    """The disk, a lock or recorded state is in the way."""


class StepError(MlopsError):
    """A step could not do its work."""

    exit_code = ExitCode.STEP_FAILED


class DifferentError(MlopsError):
    """What is to be compared can not be, since it is about something else."""

    exit_code = ExitCode.DIFFERENT


def suggest(word: str, candidates: Iterable[str]) -> str:
    """`; did you mean X?` for the closest candidate, or the empty string."""
    matches = difflib.get_close_matches(word, list(candidates), n=1, cutoff=0.6)
    return f"; did you mean {matches[0]}?" if matches else ""


_DISK_CURES = {
    errno.ENOSPC: "the disk is full: free some space",
    errno.EDQUOT: "the disk quota is used up: free some space",
    errno.EROFS: "the file system is read-only: work in a folder you can write to",
    errno.EACCES: "permission denied: work in a folder you can write to",
    errno.EPERM: "permission denied: work in a folder you can write to",
    errno.ENOTDIR: "a file stands where a folder is needed: work in another folder",
    errno.ENAMETOOLONG: "the name is too long: choose a shorter one",
    errno.EMFILE: "too many open files: raise `ulimit -n`",
}


def from_os_error(error: OSError) -> StateError | None:
    """The clear form of a disk's refusal; None when the error is not the disk's."""
    cure = _DISK_CURES.get(error.errno or 0)
    if cure is None:
        return None
    what = f"cannot write {error.filename}" if error.filename else "cannot write"
    return StateError(f"{what}: {error.strerror}", f"{cure}, then run the same command again")
