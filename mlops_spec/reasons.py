"""What is new in a request since the last one like it, in the words of the spec."""

from __future__ import annotations

import itertools
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlops_spec import signing
from mlops_spec.origins import where_is

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mlops_spec.facts import Facts
    from mlops_spec.origins import Origins
    from mlops_spec.plan import Planned

_ABSENT = "(absent)"
_IMAGES = "the images changed"
_RIVAL = "there is another champion to beat"
_OPTIONS = {  # what another value of an option of a step's command means
    "source": _IMAGES,
    "weights-digest": "other weights to start from",
    "train": "it is another model",
    "int8": "there is an int8 network, or none",
    "benchmark": "there is another benchmark, or none",
    **dict.fromkeys(("champion", "bundle", "baseline"), _RIVAL),
}

_ORIGIN = re.compile(r"spec(s\.\w+)?\.lineage")  # of a model: never new without other changes
# From what else is new, if anything is
_FOLLOW = {
    *("job.inputs.key", "document.version", "document.identity.user_assigned_identities"),
    "schedule.name",
}
_MEANT = {  # what another value of a part of a request to a workspace means
    "workspace": "another workspace",
    "job.command": "another command line",
    "job.inputs.data.path": _IMAGES,
    "job.inputs.rival.path": _RIVAL,
    "document.version": "its content changed",
    "rival": _RIVAL,
    "job": "it is another model",
    "code": "infra/*.tf changed",
}
_SETTINGS = {  # where a part of a request is in the spec, if it is called otherwise there
    f"environment.{signing.VARIABLE}": "lineage.sign_with",
    "trusted_key": "lineage.trusted_key",
    "document.size": "compute.vm_size",
    "document.tier": "compute.tier",
    "document.min_instances": "compute.min_nodes",
    "document.max_instances": "compute.max_nodes",
    "document.idle_time_before_scale_down": "compute.idle_seconds",
    "document.image": "compute.image",
}


def difference(draft: Planned, running: Sequence[str], facts: Facts, origins: Origins) -> str:
    """What is new since the experiment's last run of a step, the most specific reason first."""
    before = facts.latest.get(draft.step.id)
    if before is None or not before.payload:
        return "never ran"
    if before.action != draft.step.action:
        return f"done by {draft.step.action} now, by {before.action} before"
    found = changes(before.payload, draft.step.payload, origins, facts.changes)
    if found:
        return "; ".join(found[:3])
    modules = sorted({*draft.code, *before.code})
    changed = [name for name in modules if draft.code.get(name) != before.code.get(name)]
    if changed:
        return f"code changed: {', '.join(changed[:3])}"
    return f"{running[0]} runs" if running else "never ran with these inputs"


def changes(
    before: dict[str, Any], after: dict[str, Any], origins: Origins, images: str = ""
) -> list[str]:
    """Every difference between two payloads, each with the line that made it where one did.

    Args:
        before: The request of the last time.
        after: The request of now.
        origins: Where each key was written.
        images: What is new among the images, if that is known.
    """
    found = [one for one in _changes(before, after) if not _ORIGIN.match(one.key)]
    found = [one for one in found if one.key not in _FOLLOW] or found
    told = (_told(change, origins) for change in found)
    named = f"{_IMAGES}: {images}" if images else _IMAGES
    return list(dict.fromkeys(named if text == _IMAGES else text for text in told))


@dataclass(frozen=True)
class _Change:
    key: str
    before: object
    after: object


def _changes(before: object, after: object, key: str = "") -> Iterator[_Change]:
    if isinstance(before, dict) and isinstance(after, dict):
        for name in sorted({*before, *after}):
            inner = f"{key}.{name}" if key else name
            yield from _changes(before.get(name, _ABSENT), after.get(name, _ABSENT), inner)
    elif before != after:
        yield _Change(key, before, after)


def _told(change: _Change, origins: Origins) -> str:
    """A change in the words of the spec, with the line that made it."""
    if change.key == "command" and _ABSENT not in (change.before, change.after):
        return _told_command(change, origins)
    if change.key in _MEANT:
        return _MEANT[change.key]
    key = re.sub(r"^specs\.\w+\.|^spec\.", "", change.key).removeprefix("whole.")
    key = key.replace("job.environment_variables", "compute.environment")
    if change.key.startswith("environment"):
        key = f"compute.{key}"
    return _moved(_SETTINGS.get(change.key, key), change.before, change.after, origins)


def _moved(name: str, before: object, after: object, origins: Origins) -> str:
    """A value that is another one, under its name in the spec."""
    ends = [key for key in origins if f".{key}".endswith(f".{name}")]
    key = ends[0] if len(ends) == 1 else name  # a part of a section, such as `serving.precision`
    if _ABSENT in (before, after) and isinstance(before if after == _ABSENT else after, dict):
        return f"{key} counts {'no more' if after == _ABSENT else 'now'}"
    where = where_is(origins, key)
    told = f"{key} {_text(before)} -> {_text(after)}"
    return told + (f", {where}" if where else "")


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _told_command(change: _Change, origins: Origins) -> str:
    """A changed command line, by its options: these come from facts, not from the spec."""
    before, after = (_options(c) for c in (change.before, change.after))
    for name in sorted({*before, *after}):
        if before.get(name) != after.get(name):
            was, now = before.get(name, "none"), after.get(name, "none")
            if name == "keep" and name in after:
                return f"rolled back: version {now} stays champion"
            moved = _moved(name.replace("-", "_"), was[:24], now[:24], origins)
            return _OPTIONS.get(name, moved)
    return "another command line"


def _options(command: object) -> dict[str, str]:
    assert isinstance(command, list)
    return {a[2:]: b for a, b in itertools.pairwise(command) if a.startswith("--")}
