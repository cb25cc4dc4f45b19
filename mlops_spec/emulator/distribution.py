"""The processes of a job: one, or as many as its distribution asks for, told of each other.

The variables are those of Azure ML's guide to distributed training with PyTorch, and two that
scripts for its clusters read besides.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from mlops_spec.emulator.routing import ServiceError, invalid

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

LOGS = "user_logs"
_MOST = 64  # processes, all on this machine


@dataclass(frozen=True)
class Worker:
    """One process of a job.

    Attributes:
        log: The name of its log.
        variables: What tells it which of them it is.
    """

    log: str = "std_log.txt"
    variables: Mapping[str, str] = field(default_factory=dict)


def workers(properties: Mapping[str, Any]) -> list[Worker]:
    """The processes of a job, by rank.

    Raises:
        ServiceError: Its distribution is not emulated, or is none.
    """
    asked = properties.get("distribution") or {}
    nodes = _count(properties.get("resources") or {}, "instanceCount")
    each = _count(asked, "processCountPerInstance")
    kind = asked.get("distributionType")
    if not asked or (nodes * each == 1 and kind != "PyTorch"):
        return [Worker()]
    if kind != "PyTorch":
        message = f"The emulator does not start the processes of a distribution of type {kind}."
        raise ServiceError(400, "NotEmulated", message)
    if nodes * each > _MOST:
        raise invalid(f"The emulator starts at most {_MOST} processes; {nodes * each} are asked.")
    return [_worker(rank, nodes, each) for rank in range(nodes * each)]


def together(found: Sequence[Worker]) -> Sequence[Worker]:
    """Processes that know where to meet, if they are of a distribution: a port that is free now."""
    if not found[0].variables:
        return found
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(probe.getsockname()[1])}
    return [replace(one, variables={**one.variables, **place}) for one in found]


def _worker(rank: int, nodes: int, each: int) -> Worker:
    node, local = divmod(rank, each)
    variables = {
        "RANK": rank,
        "LOCAL_RANK": local,
        "NODE_RANK": node,
        "WORLD_SIZE": nodes * each,
        "AZUREML_NODE_COUNT": nodes,
        "AZUREML_CR_NODE_RANK": node,
    }
    width = len(str(nodes * each - 1))
    named = {name: str(value) for name, value in variables.items()}
    return Worker(f"std_log_process_{rank:0{width}d}.txt", named)


def _count(asked: Mapping[str, Any], name: str) -> int:
    found = 1 if asked.get(name) is None else asked[name]
    if not str(found).isdecimal() or int(found) < 1:
        raise invalid(f"{name} is not a number of at least 1: {found}")
    return int(found)
