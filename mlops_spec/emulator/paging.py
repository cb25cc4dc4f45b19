"""Long lists, a page at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from mlops_spec.emulator.routing import invalid

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlops_spec.emulator.routing import Call

_SIZE = 30


def page(call: Call, resources: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The part of a list that a request asks for, with the address of the next one."""
    start, size = _number(call, "$skip", 0), _number(call, "$top", _SIZE)
    body: dict[str, Any] = {"value": [*resources[start : start + size]]}
    if start + size < len(resources):
        query = urlencode({**call.query, "$skip": start + size})
        body["nextLink"] = f"{call.url}?{query}"
    return body


def _number(call: Call, name: str, default: int) -> int:
    text = call.query.get(name, str(default))
    if not text.isdecimal():
        raise invalid(f"{name} is not a number: {text}")
    return int(text)
