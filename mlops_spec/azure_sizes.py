"""Sizes of Azure's machines: what they have, what they cost at most, and which are gone.

The list is `azure_sizes.yaml`, with its date and source. It knows the usual sizes for training and
not all: a size that is not in it is taken as it is, and costs nobody knows what.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlops_spec.where import AzuremlCompute

USUAL = "Standard_NC4as_T4_v3 has a GPU, Standard_DS3_v2 has none"
_LIST = Path(__file__).with_suffix(".yaml")


@dataclass(frozen=True)
class Size:
    """A kind of machine; `usd` is its list price an hour."""

    cores: int
    memory_gb: float
    gpus: int
    usd: float


@cache
def _listed() -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load(_LIST.read_text("utf-8"))
    return document


def known() -> dict[str, Size]:
    """The sizes of the list."""
    return {name: Size(**values) for name, values in _listed()["sizes"].items()}


def find(name: str) -> Size | None:
    """A size of the list; Azure does not care how it is capitalised."""
    return {key.lower(): size for key, size in known().items()}.get(name.lower())


def retired(name: str) -> str:
    """Since when Azure has a size no more; empty of one that it may have."""
    gone = _listed()["retired"].items()
    return next((str(day) for form, day in gone if re.fullmatch(form, name, re.IGNORECASE)), "")


def source() -> str:
    """Where the prices are from, in brackets behind a sum."""
    return f"list prices of {_listed()['as_of']}, {_listed()['region']}"


def price(compute: AzuremlCompute) -> float | None:
    """USD an hour of one machine: the spec's own, or the list's; None where nobody knows."""
    if compute.price_per_hour is not None:
        return compute.price_per_hour
    size = find(compute.vm_size)
    return size.usd if size else None


def most(compute: AzuremlCompute) -> float | None:
    """USD that one job costs at most: all its machines for all the time that it may take.

    What a machine does before and after a job, such as pulling an image, is not in it.
    """
    each = price(compute)
    return None if each is None else each * compute.nodes * compute.max_minutes / 60


def of_job(compute: AzuremlCompute, nodes: int) -> dict[str, float | None]:
    """What one job costs: USD an hour of all its machines, and the minutes that it may take."""
    each = price(compute)
    hourly = None if each is None else each * nodes
    return {"usd_an_hour": hourly, "minutes": compute.max_minutes}


def told(compute: AzuremlCompute) -> str:
    """What a job costs at most, for people."""
    sum_, each = most(compute), price(compute)
    asked = f"{compute.nodes} x {compute.vm_size}, {compute.max_minutes} minutes at most"
    if sum_ is None:
        return f"{asked}: nobody knows what it costs; say so by compute.price_per_hour"
    own = compute.price_per_hour is not None
    where = "compute.price_per_hour" if own else source()
    less = "; low priority is cheaper" if compute.tier == "low_priority" else ""
    return f"{asked}, {each:g} USD an hour each: {sum_:.2f} USD at most ({where}{less})"


def contradictions(compute: AzuremlCompute, per_run: float | None) -> Iterator[tuple[str, str]]:
    """What a size can not do, or a run must not cost: key and message.

    Args:
        compute: The machines.
        per_run: USD that a run may cost; None for whatever it costs.
    """
    since, size = retired(compute.vm_size), find(compute.vm_size)
    if since:
        yield "compute.vm_size", f"{compute.vm_size} is gone since {since}; {USUAL}"
        return
    if size and compute.accelerator == "cuda" and compute.devices > size.gpus:
        has = f"{compute.vm_size} has {size.gpus or 'no'} GPU{'' if size.gpus == 1 else 's'}"
        yield "compute.devices", f"{compute.devices} with accelerator cuda, and {has}"
    yield from _beyond(compute, per_run)


def _beyond(compute: AzuremlCompute, per_run: float | None) -> Iterator[tuple[str, str]]:
    if per_run is None:
        return
    sum_ = most(compute)
    if sum_ is None:
        what = f"no price of {compute.vm_size} is known, so that no budget can be kept"
        yield "compute.price_per_hour", f"{what}: set it, in USD"
    elif sum_ > per_run:
        cure = "lower compute.max_minutes or compute.nodes, choose another size, or allow more"
        yield (
            "budget.per_run",
            f"{per_run:g} USD is less than a run may cost: {told(compute)}; {cure}",
        )
