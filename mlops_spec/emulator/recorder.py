"""Every exchange as a line of JSON, without tokens, keys or signatures."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from mlops_spec.redaction import redact

if TYPE_CHECKING:
    from pathlib import Path

    from mlops_spec.emulator.routing import Call, Reply

FILE = "traffic.jsonl"
_HIDDEN = "***"
_HEADERS = ("content-type", "x-ms-version", "retry-after", "azure-asyncoperation", "location")
_SECRET = re.compile(
    r"(?:sas_?token|access_?token|refresh_?token|id_?token|client_?secret|client_?assertion"
    r"|(?:account|primary|secondary)?_?key|password)",
    re.IGNORECASE,
)
_SIGNATURE = re.compile(r"\bsig=[^&\s\"']+")


class Recorder:
    """Writes down what was asked and answered.

    Args:
        path: Where; None for nowhere.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        if path is not None:
            path.touch()

    def write(self, call: Call, reply: Reply) -> None:
        """Adds an exchange."""
        if self._path is None:
            return
        line = {
            "method": call.method,
            "url": call.url,
            "query": clean(dict(call.query)),
            "request": {"headers": _headers(call.headers), "body": clean(call.body)},
            "status": reply.status,
            "response": {"headers": _headers(reply.headers), "body": clean(reply.body)},
        }
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


def _headers(headers: Any) -> dict[str, str]:
    kept = {name.lower(): value for name, value in headers.items()}
    return {name: clean(kept[name]) for name in _HEADERS if name in kept}


def clean(value: Any, name: str = "") -> Any:
    """A value without secrets, by the names of its parts and by their looks."""
    if isinstance(value, dict):
        return {key: clean(inner, str(key)) for key, inner in value.items()}
    if isinstance(value, list):
        return [clean(inner) for inner in value]
    if not isinstance(value, str):
        return value
    if name == "sig" or _SECRET.fullmatch(name):
        return _HIDDEN
    return redact(_SIGNATURE.sub(f"sig={_HIDDEN}", value))
