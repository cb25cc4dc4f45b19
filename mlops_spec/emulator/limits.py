"""How long a job may run: a duration as ISO 8601 writes it."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter, ValidationError

from mlops_spec.emulator.routing import invalid

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

_DURATION = TypeAdapter(timedelta)


def seconds(properties: Mapping[str, Any], name: str = "timeout") -> float | None:
    """A limit of a job; None for none.

    Raises:
        ServiceError: It is no duration, or not above zero.
    """
    text = (properties.get("limits") or {}).get(name)
    if text is None:
        return None
    try:
        found = _DURATION.validate_python(text, strict=False).total_seconds()
    except ValidationError as error:
        raise invalid(f"limits.{name} is not a duration such as PT1H30M: {text}") from error
    if found <= 0:
        raise invalid(f"limits.{name} is not above zero: {text}")
    return found


@contextlib.asynccontextmanager
async def limited(most: float | None) -> AsyncIterator[None]:
    """Ends what takes longer than so many seconds.

    Raises:
        ServiceError: It did.
    """
    limit = asyncio.timeout(most)
    try:
        async with limit:
            yield
    except TimeoutError as error:
        if not limit.expired():
            raise
        raise invalid(
            f"The job has exceeded its maximum run duration of {most:g} seconds."
        ) from error
