"""Registered models: what a registry offers, and how the one on this machine is read.

A version is a finished bundle with the key of the training step that made it and the champion it
was measured against. `Registry` is what the verbs and the steps rely on; MLflow's sqlite file is
behind it here (`registering`). Reading what is registered happens before every plan, where
importing MLflow (1.2 s) would cost more than all the rest, so it is a few SQL queries
(`registry_tables`).
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from mlops_spec import champions, registry_tables, tracking
from mlops_spec.errors import StateError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from mlops_spec.champions import Move
    from mlops_spec.lineage import Known

CHAMPION = "champion"  # alias of the version that is deployed and has to be beaten
OURS = "mlops_spec."  # how the tags begin that this program writes
TRAIN, BASELINE, DIGEST = tracking.TRAIN, f"{OURS}baseline", f"{OURS}digest"
METRIC, MOVE = f"{OURS}metric.", f"{OURS}move."
ASIDE = ".before"  # how the name of a bundle ends that another one takes the place of


@dataclass(frozen=True)
class Version:
    """One version of a registered model."""

    version: int
    train: str  # key of the step that trained it
    baseline: int  # the champion it was measured against; 0 for none
    path: str  # its bundle
    champion: bool
    digest: str = ""  # of its bundle: what it is, whoever trained it; empty: of other origin
    intact: bool = True  # its bundle is there; `damage` looks closer
    rolled_back: bool = False  # it was champion until a rollback, and did not become it again
    created: str = ""  # UTC, to the second
    metrics: Mapping[str, float] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)  # those that people gave it
    deleted: bool = False  # only told as the one that another version was measured against


@dataclass(frozen=True)
class Candidate:
    """A judged model on its way into the registry."""

    model: str
    train: str
    baseline: int
    bundle: Path
    report: Path
    metrics: Mapping[str, float]
    known: Known


class Registry(Protocol):
    """Where models are registered; what a person can mend is a StateError."""

    def names(self) -> list[str]:
        """The models of which a version was registered by this program, sorted."""

    def look(self, model: str) -> Shelf:
        """All that is known of a model, read at one moment; nothing of an unknown one."""

    def versions(self, model: str) -> list[Version]:
        """The versions of a model by number, also those of other origin; none of an unknown one."""

    def history(self, model: str) -> list[Move]:
        """The moves of the champion alias, the oldest first; they lead to where it is."""

    def register(self, candidate: Candidate) -> Version:
        """Makes a model a version, or finds the version that it is; the champion stays."""

    def promote(self, model: str, version: int, why: str, beaten: int) -> Move | None:
        """Makes a version champion and notes why; None when it is champion already.

        Raises:
            StateError: The champion is not `beaten` (0 for none), which it was measured against.
        """

    def rollback(self, model: str) -> Move:
        """Makes the champion before champion again, if its bundle is what it was."""

    def fetch(self, model: str, version: Version) -> None:
        """Brings a version's bundle to its `path`, unless something lies there already.

        Raises:
            StateError: The registry has it no more, or not as it was registered.
        """


@dataclass(frozen=True)
class Shelf:
    """All that a registry knows of one model, read at one moment."""

    versions: list[Version]
    moves: list[Move]
    notes: int  # number of the last note of a move
    deleted: list[Version]  # that those of now were measured against


def find(versions: Sequence[Version], number: int) -> Version | None:
    """The version of a number."""
    return next((one for one in versions if one.version == number), None)


def champion(versions: Sequence[Version]) -> Version | None:
    """The version that is champion."""
    return next((one for one in versions if one.champion), None)


def judged(versions: Sequence[Version], train: str) -> Version | None:
    """The version that the model of a training step is, if it has had its answer already.

    It is champion, or was until a person went back from it.
    """
    now = champion(versions)
    own = now if now and now.train == train else None
    return own or (_rolled_back(versions, train) if now else None)


def rival(versions: Sequence[Version], train: str) -> Version | None:
    """Whom the model of a training step is judged against.

    That is the champion, or, when the model has had its answer already, the one it beat.
    """
    own = judged(versions, train)
    return find(versions, own.baseline) if own else champion(versions)


def kept(versions: Sequence[Version], train: str) -> Version | None:
    """The champion that stays because a person set the model of a training step back."""
    now = champion(versions)
    stays = now and now.train != train and _rolled_back(versions, train)
    return now if stays else None


def _rolled_back(versions: Sequence[Version], train: str) -> Version | None:
    return next((one for one in versions if one.rolled_back and one.train == train), None)


def damage(version: Version) -> str:
    """Why the bundle of a version is not what was registered; empty when it is. Reads all of it."""
    from mlops_spec import verification

    if not version.digest:
        return "it was not registered from here"
    folder = Path(version.path)
    left = aside_of(folder)
    if left.is_dir() and not folder.exists():
        return f"its bundle is gone: a registration that was killed left it as {left.name} beside"
    return verification.damage(folder, version.digest)


def names(database: Path) -> list[str]:
    """The models of which a version was registered by this program."""
    return registry_tables.names(database, DIGEST)


def read(database: Path, models: Path, model: str) -> list[Version]:
    """What is `of_ours` on this machine; nothing while the database does not exist.

    Raises:
        StateError: The database can not be read, or somebody else made a version champion.
    """
    return of_ours(look(database, models, model), model)


def of_ours(shelf: Shelf, model: str) -> list[Version]:
    """The versions of a model that were registered by this program: what a plan is made from.

    Of those that were deleted only the ones that others were measured against are among them.

    Raises:
        StateError: Somebody else made a version champion.
    """
    for version in shelf.versions:
        if version.champion and not version.digest:
            number = version.version
            message = f"the champion of {model}, version {number}, was not registered from here"
            cure = "choose another registered_model, or go back with the verb rollback"
            raise StateError(message, cure)
    return [*(version for version in shelf.versions if version.digest), *shelf.deleted]


def look(database: Path, models: Path, model: str) -> Shelf:
    """Everything about a model.

    Raises:
        StateError: The database can not be read.
    """
    pattern = f"{MOVE}{'[0-9]' * 6}"
    rows, tags, notes = registry_tables.rows(database, model, CHAMPION, pattern)
    own: dict[int, dict[str, str]] = {}
    for number, key, value in tags:
        own.setdefault(number, {})[key] = value
    versions = [
        version((number, _moment(created)), own.get(number, {}), models / model, champion=bool(now))
        for number, created, now in rows
    ]
    last = max((int(key.removeprefix(MOVE)) for key, _ in notes), default=0)
    sound = [move for _, text in notes if (move := champions.noted(text))]
    return shelf(versions, own, (sound, last), models / model)


def shelf(
    versions: Sequence[Version],
    tags: Mapping[int, Mapping[str, str]],
    notes: tuple[Sequence[Move], int],
    home: Path,
) -> Shelf:
    """What a registry knows of a model, from what it keeps.

    Args:
        versions: Those that are there.
        tags: Of each number, also of versions that were deleted.
        notes: Of moves, the oldest first, and the number of the last one.
        home: Where bundles of the model are kept.
    """
    now = champion(versions)
    moves = champions.followed(notes[0], now.version if now else 0)
    out = champions.rolled_back(moves)
    there = [replace(one, rolled_back=one.version in out) for one in versions]
    return Shelf(there, moves, notes[1], [*_deleted(versions, tags, home)])


def _deleted(
    versions: Sequence[Version], tags: Mapping[int, Mapping[str, str]], home: Path
) -> Iterator[Version]:
    """Versions that are gone, of which others still say that they were measured against them."""
    for number in sorted({one.baseline for one in versions} - {one.version for one in versions}):
        digest = tags.get(number, {}).get(DIGEST, "")
        if number and digest:
            path = home_of(home, digest)
            yield Version(
                version=number,
                train="",
                baseline=0,
                path=str(path),
                champion=False,
                digest=digest,
                intact=(path / "model.json").exists(),
                deleted=True,
            )


def version(
    row: tuple[int, str], tags: Mapping[str, str], home: Path, *, champion: bool
) -> Version:
    """A version from its number, the moment it was made, and its tags."""
    digest = tags.get(DIGEST, "")
    path = home_of(home, digest) if digest else Path()
    return Version(
        version=row[0],
        train=tags.get(TRAIN, ""),
        baseline=int(tags[BASELINE]) if tags.get(BASELINE, "").isdecimal() else 0,
        path=str(path) if digest else "",
        champion=champion,
        digest=digest,
        intact=bool(digest) and (path / "model.json").exists(),
        created=row[1],
        metrics=dict(_metrics(tags)),
        tags={key: value for key, value in tags.items() if not key.startswith(OURS)},
    )


def _moment(milliseconds: int) -> str:
    return f"{datetime.fromtimestamp(milliseconds / 1000, UTC):%Y-%m-%dT%H:%M:%SZ}"


def _metrics(tags: Mapping[str, str]) -> Iterator[tuple[str, float]]:
    """The metrics among a version's tags, by name: accuracy is the first."""
    found = {key.removeprefix(METRIC): v for key, v in tags.items() if key.startswith(METRIC)}
    for name in sorted(found):
        with contextlib.suppress(ValueError):  # a person wrote something else
            yield name, float(found[name])


def home_of(home: Path, digest: str) -> Path:
    """Where the registry keeps a bundle of a model: by what it is."""
    return home / digest[:16]


def aside_of(path: Path) -> Path:
    """Where a bundle waits while another one takes its place; whole, should that never come."""
    return path.with_name(f".{path.name}{ASIDE}")
