"""Ports of this machine: who answers at one, and whether a program of ours could listen there."""

from __future__ import annotations

import errno
import http.client
import json
import socket
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_SECONDS = 5.0  # for an answer, also on a busy machine
_MOST = 2**24  # bytes of one
TAKEN, _FORBIDDEN = errno.EADDRINUSE, errno.EACCES


def shown(host: str, port: int) -> str:
    """An address as it stands in a URL."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def exchange(
    connection: http.client.HTTPConnection,
    method: str,
    path: str,
    body: bytes | None = None,
    headers: Mapping[str, str | bytes] | None = None,
) -> tuple[int, Any]:
    """Status and JSON answer; 0 and None where nobody answers in time, None for what is no JSON.

    Whoever listens may be a stranger: what is longer than an answer of ours is no JSON either.
    """
    try:
        connection.request(method, path, body, dict(headers or {}))
        answer = connection.getresponse()
        status, content = answer.status, answer.read(_MOST)
    except (OSError, http.client.HTTPException):
        return 0, None
    finally:
        connection.close()
    try:
        return status, json.loads(content)
    except (ValueError, RecursionError):
        return status, None


def get(host: str, port: int, path: str) -> tuple[int, Any]:
    """Status and JSON answer of an address; 0 and None where nobody answers soon."""
    return exchange(http.client.HTTPConnection(host, port, timeout=_SECONDS), "GET", path)


def health(host: str, port: int) -> dict[str, Any]:
    """What an address tells of itself; nothing where nobody answers, or something else."""
    _, answer = get(host, port, "/healthz")
    return answer if isinstance(answer, dict) else {}


def answering(host: str, port: int) -> int:
    """The process that `GET /healthz` names; 0 where none is named."""
    pid = health(host, port).get("pid")
    return pid if isinstance(pid, int) else 0


def refusal(host: str, port: int) -> OSError | None:
    """Why nothing more can listen at an address; None where it can. Nobody is let in meanwhile."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except OSError as error:
        return error
    return None


def look(section: str, host: str, port: int, is_ours: Callable[[int], bool]) -> tuple[str, str]:
    """What is at the address of a section, and the cure; none where the section can have it.

    Args:
        section: Of the spec, with `host` and `port`.
        host: An address of this machine, if all is well.
        port: Where to listen.
        is_ours: Whether a process, the one that the answer at the address names, may be replaced.
    """
    error, where = refusal(host, port), shown(host, port)
    if error is None:
        return f"{where} is free", ""
    if error.errno == TAKEN:
        pid = answering(host, port)
        if is_ours(pid):
            return f"{where} is ours, process {pid}", ""
        cure = f"stop it, or choose another {section}.port"
        return f"another program listens at {where}", cure
    if error.errno == _FORBIDDEN:
        cure = f"choose another {section}.port, 1024 or more"
        return f"nothing can listen at {where}: {error.strerror}", cure
    cure = f"choose another {section}.host: an address of this machine"
    return f"nothing can listen at {host}: {error.strerror}", cure
