"""Faults on request: what a cloud does to its clients, each for chosen requests and so many times.

throttle          429 with Retry-After of `seconds`         for a request
error             5xx (`status`)                            for a request
conflict          409                                       for a request
forbidden         403: whoever asks has not the right to    for a request
drop              the connection ends without an answer     for a request
expired_sas       the signature has run out                 for a request whose answer has one
slow_operation    it takes `seconds` longer                 for a request that starts one
failed_operation  it ends as Failed                         for a request that starts one
preempt           killed after `seconds` and started again  for a job
fail              it ends as Failed without running         for a job
"""

from __future__ import annotations

import fnmatch
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from mlops_spec.emulator import access
from mlops_spec.emulator.routing import Reply, ServiceError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlops_spec.emulator.routing import Call

_ANSWERS = ("throttle", "error", "conflict", "forbidden", "drop")
_OF_JOBS = ("preempt", "fail")


class Fault(BaseModel):
    """One kind of trouble.

    Attributes:
        on: Which requests: `METHOD https://host/path` with `*` and `?`; for faults of jobs
            the job's name or display name.
        count: How many times.
        seconds: Retry-After of a throttle, delay of an operation, life of a job until then.
        status: Of an error.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal[
        "throttle",
        "error",
        "conflict",
        "forbidden",
        "drop",
        "expired_sas",
        "slow_operation",
        "failed_operation",
        "preempt",
        "fail",
    ]
    on: str = "*"
    count: Annotated[int, Field(ge=1)] = 1
    seconds: Annotated[float, Field(ge=0, le=3600)] = 1
    status: Annotated[int, Field(ge=500, le=599)] = 500


class DroppedError(Exception):
    """The connection is to end without an answer."""


class Faults:
    """What is still to go wrong."""

    def __init__(self) -> None:
        self._waiting: list[Fault] = []

    @property
    def waiting(self) -> tuple[Fault, ...]:
        """Those that have not happened, or not often enough."""
        return tuple(self._waiting)

    def replace(self, faults: Sequence[Fault]) -> None:
        """Forgets what was asked for, and waits for these."""
        self._waiting = [*faults]

    def answer(self, call: Call) -> Reply | None:
        """What a request gets instead of its answer; None for most.

        Raises:
            ServiceError: That is a refusal in the service's own words.
            DroppedError: It gets nothing at all.
        """
        fault = self._take(_ANSWERS, [_words(call)])
        if fault is None:
            return None
        if fault.kind == "drop":
            raise DroppedError
        if fault.kind == "forbidden":
            raise access.refusal(call)
        if fault.kind == "conflict":
            message = "Another operation is in progress on this resource. Retry later."
            raise ServiceError(409, "Conflict", message)
        if fault.kind == "error":
            raise ServiceError(fault.status, "ServiceError", "InternalServerError")
        error = {"code": "TooManyRequests", "message": "Too many requests. Retry later."}
        return Reply(429, {"error": error}, {"Retry-After": f"{fault.seconds:.0f}"})

    def take(self, kind: str, call: Call) -> Fault | None:
        """A fault of a kind for a request, which has then happened once."""
        return self._take([kind], [_words(call)])

    def take_for_job(self, kind: str, names: Sequence[str]) -> Fault | None:
        """A fault of a kind for a job of these names, which has then happened once."""
        assert kind in _OF_JOBS
        return self._take([kind], names)

    def _take(self, kinds: Sequence[str], names: Sequence[str]) -> Fault | None:
        for number, fault in enumerate(self._waiting):
            if fault.kind in kinds and any(fnmatch.fnmatchcase(n, fault.on) for n in names):
                left = fault.model_copy(update={"count": fault.count - 1})
                self._waiting[number : number + 1] = [left] if left.count else []
                return fault
        return None


def _words(call: Call) -> str:
    return f"{call.method} {call.url}"
