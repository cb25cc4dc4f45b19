"""What every registry does alike: the tags of a judged model, moves of a champion, the way back."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from mlops_spec import champions, lineage, registry
from mlops_spec.champions import Move
from mlops_spec.errors import StateError
from mlops_spec.registry import BASELINE, METRIC, TRAIN

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlops_spec.registry import Candidate, Shelf, Version

Kind = Literal["promote", "rollback"]


def check_promotion(model: str, versions: Sequence[Version], version: int, beaten: int) -> None:
    """Whether a version is there, and the champion still the one that it was measured against.

    Raises:
        StateError: It is not.
    """
    if registry.find(versions, version) is None:
        known = ", ".join(str(one.version) for one in versions) or "none"
        message = f"{model} has no version {version} to promote (versions: {known})"
        raise StateError(message, "register it first")
    champion = registry.champion(versions)
    now = champion.version if champion else 0
    if now not in (beaten, version):
        who, whom = (f"version {one}" if one else "none" for one in (now, beaten))
        message = f"another model became champion meanwhile: {model} has {who}, not {whom}"
        raise StateError(message, "run the same command again: it is judged against that one")


def move(versions: Sequence[Version], version: int, reason: tuple[Kind, str]) -> Move | None:
    """The move that makes a version champion now; None when it is champion already."""
    now = registry.champion(versions)
    if now and now.version == version:
        return None
    when = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
    return Move(now.version if now else 0, version, *reason, when)


def tags(candidate: Candidate) -> dict[str, str]:
    """What a version says of its judgement."""
    metrics = {f"{METRIC}{name}": repr(value) for name, value in candidate.metrics.items()}
    return {TRAIN: candidate.train, BASELINE: str(candidate.baseline), **metrics}


def renewed(candidate: Candidate, known: Version) -> dict[str, str]:
    """The tags in which a known model differs from its last judgement."""
    before = {
        TRAIN: known.train,
        BASELINE: str(known.baseline),
        **{f"{METRIC}{name}": repr(value) for name, value in known.metrics.items()},
    }
    return {key: value for key, value in tags(candidate).items() if before.get(key) != value}


def as_before(candidate: Candidate, known: Version, versions: Sequence[Version]) -> Candidate:
    """A candidate that is the very version it was measured against: it stays another's challenger.

    A training with other code, for example, ends with the same weights. To be told as its own
    rival and parent would ask its next plan for a comparison with itself.
    """
    origin = candidate.known.origin
    champion = _parent(known, versions)
    parents = origin.parents.model_copy(update={"champion": champion})
    origin = origin.model_copy(update={"parents": parents})
    return replace(
        candidate, baseline=known.baseline, known=replace(candidate.known, origin=origin)
    )


def _parent(known: Version, versions: Sequence[Version]) -> lineage.Champion | None:
    """The champion that a version was measured against, as a lineage names it."""
    rival = registry.find(versions, known.baseline)
    if rival:
        return lineage.Champion(version=rival.version, digest=rival.digest)
    try:
        return lineage.read(Path(known.path) / lineage.FILE).parents.champion
    except (FileNotFoundError, StateError):
        return None


def before(shelf: Shelf, model: str) -> Version:
    """The version that a rollback goes back to.

    Raises:
        StateError: There is none, or its bundle is not what it was.
    """
    version = earlier(shelf, model)
    refuse(model, version, registry.damage(version))
    return version


def earlier(shelf: Shelf, model: str) -> Version:
    """The version that was champion before, whatever became of its bundle.

    Raises:
        StateError: There is none.
    """
    versions = shelf.versions
    now = registry.champion(versions)
    there = {one.version for one in versions}  # a version that was deleted is passed over
    line = [number for number in champions.line(shelf.moves) if number in there]
    earlier = line[:-1] if now and line and line[-1] == now.version else line
    if not earlier:
        what = f"nobody was before version {now.version}" if now else "there never was one"
        message = f"{model} has no earlier champion to go back to: {what}"
        raise StateError(message, f"look at its history: python -m mlops_spec models {model}")
    version = registry.find(versions, earlier[-1])
    assert version is not None, "only versions that are there were kept"
    return version


def refuse(model: str, version: Version, bad: str) -> None:
    """Refuses to go back to a version with which something is wrong.

    Raises:
        StateError: Something is.
    """
    if bad:
        message = f"{model} {version.version} was champion before, but {bad}"
        restore = f"restore {version.path}" if version.path else "move the alias by hand"
        raise StateError(message, f"{restore}, then run the same command again")
