"""A model's versions as assets of a workspace: what their tags say, and how one is changed.

The champion is the version that has the tag `champion`. Each move is noted in a tag of the version
that it leads to, by the same write that puts the tag `champion` there; that of the champion before
is taken away afterwards. Whoever is killed between the two leaves two of them: the one whose move
is the later is the champion, and the next move takes the other's away.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from mlops_spec import champions, registry
from mlops_spec.azure import client
from mlops_spec.registry import BASELINE, CHAMPION, DIGEST, MOVE, OURS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from mlops_spec.champions import Move
    from mlops_spec.registry import Shelf, Version

RIVAL = f"{OURS}baseline_digest"  # tag: what the champion was that a version was measured against
LINEAGE = f"{OURS}lineage"  # tag: sha256 of the lineage of the bundle that is kept
CONTENT = f"{OURS}content"  # tag: name:version of the asset that keeps it; empty: this one
_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_-]{0,62}")  # what models of ours can be called
_RENEWED = "--renewed"  # what those assets' names end with, of what Azure ML allows in names
_DIGEST = re.compile(r"[0-9a-f]{64}")  # part of a path: nothing else may stand there
_NOTE = re.compile(rf"{re.escape(MOVE)}([0-9]{{6}})")


@dataclass(frozen=True)
class Seen:
    """What a workspace says of a model.

    Attributes:
        shelf: Its versions and moves.
        holders: The versions that have the tag `champion`.
        tags: Of each version by number, also of those that were archived.
    """

    shelf: Shelf
    holders: tuple[int, ...]
    tags: Mapping[int, Mapping[str, str]]


def look(ml: Any, model: str, home: Path) -> Seen:
    """Everything about a model in two requests, pages aside.

    An archived version counts as deleted: people do not want it any more.
    """
    from azure.ai.ml.constants import ListViewType

    there = _numbered(_listed(ml, model, ListViewType.ACTIVE_ONLY))
    gone = _numbered(_listed(ml, model, ListViewType.ARCHIVED_ONLY))
    tags = {number: _tags(asset) for number, asset in {**gone, **there}.items()}
    holders = tuple(number for number in sorted(there) if CHAMPION in tags[number])
    moves, last = _moves(tags)
    now = _champion(holders, moves)
    versions = [
        _version(there[number], tags[number], home, champion=number == now)
        for number in sorted(there)
    ]
    shelf = registry.shelf(versions, _with_rivals(tags), (moves, last), home)
    deleted = [replace(one, intact=one.intact or one.version in gone) for one in shelf.deleted]
    return Seen(replace(shelf, deleted=deleted), holders, tags)


def names(ml: Any) -> list[str]:
    """The models of which a version was registered by this program, sorted."""
    from azure.ai.ml.constants import ListViewType

    found = sorted({str(asset.name) for asset in ml.models.list()})
    ours = (name for name in found if _NAME.fullmatch(name))
    view = ListViewType.ACTIVE_ONLY
    return [name for name in ours if any(DIGEST in _tags(one) for one in _listed(ml, name, view))]


def address(ml: Any, model: str, number: int) -> str:
    """Where the bundle of a version is kept; empty when it is no more."""
    from azure.core.exceptions import ResourceNotFoundError

    try:
        asset = ml.models.get(model, str(number))
        word = (asset.tags or {}).get(CONTENT, "")
        if match := re.fullmatch(rf"({re.escape(model + _RENEWED)}):([0-9]{{1,9}})", word):
            asset = ml.models.get(*match.groups())
        return str(asset.path)
    except ResourceNotFoundError as error:
        if client.is_workspace(error):
            raise
        return ""


def keep(ml: Any, model: str, path: Path) -> str:
    """Uploads a newer bundle of a version that there is already; returns what `CONTENT` says."""
    from azure.ai.ml.entities import Model

    name = f"{model}{_RENEWED}"
    newer = Model(name=name, type="custom_model", path=str(path))
    asset = client.uploaded(ml.models.create_or_update, newer)
    return f"{name}:{asset.version}"


def write(ml: Any, model: str, number: int, change: Mapping[str, str | None]) -> None:
    """Changes some tags of a version, in one write; None takes a tag away."""
    asset = ml.models.get(model, str(number))
    tags = {**(asset.tags or {}), **change}
    asset.tags = {key: value for key, value in tags.items() if value is not None}
    ml.models.create_or_update(asset)


def lead(ml: Any, model: str, move: Move, last: int) -> str:
    """Notes a move and puts the champion's tag where it leads to, in one write.

    Args:
        ml: Azure's SDK.
        model: Whose champion moves.
        move: The move.
        last: Number of the note before.

    Returns:
        The tag that notes it.
    """
    key = f"{MOVE}{last + 1:06}"
    now = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%fZ}"  # tells apart two machines at one moment
    write(ml, model, move.after, {key: champions.note(move), CHAMPION: now})
    return key


def leave(ml: Any, model: str, seen: Seen, champion: int) -> None:
    """Takes the champion's tag away from all others that had it."""
    for number in seen.holders:
        if number != champion:
            write(ml, model, number, {CHAMPION: None})


def _listed(ml: Any, model: str, view: str) -> Iterator[Any]:
    """The versions of a model; none of an unknown one."""
    from azure.core.exceptions import ResourceNotFoundError

    if not _NAME.fullmatch(model):  # it would lead elsewhere as a part of an address
        return
    try:
        yield from ml.models.list(name=model, list_view_type=view)
    except ResourceNotFoundError as error:
        if client.is_workspace(error):
            raise


def _numbered(assets: Iterable[Any]) -> dict[int, Any]:
    """Assets by number; a version of other origin may be called anything."""
    return {int(one.version): one for one in assets if re.fullmatch("[1-9][0-9]{0,8}", one.version)}


def _tags(asset: Any) -> dict[str, str]:
    """The tags of an asset, with the digest that nobody can change afterwards."""
    tags = {str(key): str(value) for key, value in (asset.tags or {}).items() if key != DIGEST}
    digest = str((asset.properties or {}).get(DIGEST, ""))
    return {**tags, DIGEST: digest} if _DIGEST.fullmatch(digest) else tags


def _with_rivals(tags: Mapping[int, Mapping[str, str]]) -> dict[int, Mapping[str, str]]:
    """The tags, with the digests of deleted versions as those say that were judged against them."""
    rivals = {}
    for own in tags.values():
        digest = own.get(RIVAL, "")
        if own.get(BASELINE, "").isdecimal() and _DIGEST.fullmatch(digest):
            rivals[int(own[BASELINE])] = {DIGEST: digest}
    return {**rivals, **tags}


def _moves(tags: Mapping[int, Mapping[str, str]]) -> tuple[list[Move], int]:
    """The moves that were noted, the oldest first, and the number of the last note.

    Of two machines that moved at once, and so gave theirs one number, the earlier one's counts: the
    other one sees that afterwards. It comes last here, as the one that the next move begins from.
    """
    found = []
    for number, own in tags.items():
        for key, text in own.items():
            match, move = _NOTE.fullmatch(key), champions.noted(text)
            if match and move and move.after == number:
                found.append((int(match[1]), own.get(CHAMPION, ""), move))
    found.sort(key=lambda one: (one[1], one[2].after), reverse=True)
    found.sort(key=lambda one: one[0])
    return [move for _, _, move in found], max((number for number, _, _ in found), default=0)


def _champion(holders: Sequence[int], moves: Sequence[Move]) -> int:
    """The version that is champion, 0 for none; of several the one whose move is the last."""
    led = [move.after for move in moves if move.after in holders]
    return led[-1] if led else max(holders, default=0)


def _version(asset: Any, tags: Mapping[str, str], home: Path, *, champion: bool) -> Version:
    made = getattr(asset.creation_context, "created_at", None)
    created = f"{made.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}" if made else ""
    shown = {key: value for key, value in tags.items() if key != CHAMPION}
    version = registry.version((int(asset.version), created), shown, home, champion=champion)
    return replace(version, intact=bool(version.digest))  # it can be fetched
