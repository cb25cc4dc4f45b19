"""Machines of a region, those of `azure_sizes.yaml`, and how many may be used: enough for tries."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from mlops_spec import azure_sizes
from mlops_spec.emulator.paging import page
from mlops_spec.emulator.routing import ARM, Reply, Route

if TYPE_CHECKING:
    from mlops_spec.azure_sizes import Size
    from mlops_spec.emulator.routing import Call
    from mlops_spec.emulator.world import World

_PROVIDER = "Microsoft.MachineLearningServices"
_MOST = 1000  # vCPUs of a family, and of all together
_DISK_MB = 1 << 20
_FAMILIES = {
    r"Standard_DS\d+_v2": "standardDSv2Family",
    r"Standard_NC\d+as_T4_v3": "standardNCASv3Family",
    r"Standard_NC\d+ads_A100_v4": "standardNCADSA100v4Family",
    r"Standard_NC\d+adi?s_H100_v5": "standardNCadsH100v5Family",
    r"Standard_ND\d+asr_v4": "standardNDASv4Family",
}
_TOTALS = {"TotalDedicatedCores": "Dedicated", "TotalLowPriorityCores": "LowPriority"}


async def sizes(_: World, call: Call) -> Reply:  # noqa: ARG001 - every region has the same
    """Every size."""
    return Reply(body={"value": [_size(*each) for each in azure_sizes.known().items()]})


async def usages(_: World, call: Call) -> Reply:
    """How many vCPUs are used, and may be, of each family and of all."""
    kinds = ("dedicatedCores", "lowPriorityCores")
    families = sorted({_family(name) for name in azure_sizes.known()})
    rows = [_usage(call, name, f"vmFamily/{kind}", name) for name in families for kind in kinds]
    for name, word in _TOTALS.items():
        kind = name[:1].lower() + name[1:]
        rows.append(_usage(call, name, kind, f"Total Cluster {word} Regional vCPUs"))
    return Reply(body=page(call, rows))


def _family(size: str) -> str:
    return next(name for form, name in _FAMILIES.items() if re.fullmatch(form, size))


def _size(name: str, size: Size) -> dict[str, Any]:
    return {
        "name": name,
        "family": _family(name),
        "vCPUs": size.cores,
        "gpus": size.gpus,
        "osVhdSizeMB": _DISK_MB,
        "maxResourceVolumeMB": _DISK_MB,
        "memoryGB": size.memory_gb,
        "lowPriorityCapable": True,
        "premiumIO": True,
        "supportedComputeTypes": ["AmlCompute", "ComputeInstance"],
    }


def _usage(call: Call, name: str, kind: str, words: str) -> dict[str, Any]:
    where = call.found["location"]
    scope = f"/subscriptions/{call.found['subscription']}/providers/{_PROVIDER}/locations/{where}"
    return {
        "id": f"{scope}/{kind}/usages/{name}",
        "type": f"{_PROVIDER}/{kind}/usages",
        "amlWorkspaceLocation": where,
        "name": {"value": name, "localizedValue": words},
        "unit": "Count",
        "currentValue": 0,
        "limit": _MOST,
    }


_LOCATION = f"/subscriptions/{{subscription}}/providers/{_PROVIDER}/locations/{{location}}"
ROUTES = (
    Route("GET", ARM, _LOCATION + "/vmSizes", sizes),
    Route("GET", ARM, _LOCATION + "/usages", usages),
)
