"""Registered models as assets of an Azure ML workspace; see `assets` for who is champion.

A bundle is made on this machine, as by the registry here, and uploaded. Azure ML never changes what
lies behind a version: a model that is registered again, with another judgement or signature, has
its new bundle behind an asset of its own, and a tag of the version says where.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock

from mlops_spec import bundle, copies, entries, files, lineage, registry
from mlops_spec.azure import assets, client, content
from mlops_spec.errors import StateError
from mlops_spec.registry import CHAMPION, DIGEST, OURS, TRAIN
from mlops_spec.verification import Expected

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlops_spec.azure.assets import Seen
    from mlops_spec.azure.place import Place
    from mlops_spec.champions import Move
    from mlops_spec.registry import Candidate, Shelf, Version

_AGAIN = "run the same command again"


@dataclass(frozen=True)
class AzuremlRegistry:
    """The models of a workspace, with copies of their bundles here: a `registry.Registry`."""

    place: Place
    models: Path  # where bundles are kept on this machine

    def names(self) -> list[str]:
        """The models of which a version was registered by this program."""
        with client.opened(self.place) as ml:
            return assets.names(ml)

    def look(self, model: str) -> Shelf:
        """All that is known of a model."""
        with client.opened(self.place) as ml:
            return self._look(ml, model).shelf

    def versions(self, model: str) -> list[Version]:
        """The versions of a model by number, also those of other origin."""
        return self.look(model).versions

    def history(self, model: str) -> list[Move]:
        """The moves of the champion tag, the oldest first."""
        return self.look(model).moves

    def register(self, candidate: Candidate) -> Version:
        """Makes a model a version, or finds the version that it is; the champion stays."""
        model, digest = candidate.model, bundle.digest(candidate.bundle)
        with self._writing(model) as ml:
            seen = self._look(ml, model)
            known = next((one for one in seen.shelf.versions if one.digest == digest), None)
            path = registry.home_of(self.models / model, digest)
            if known:
                number = known.version
                self._renew(ml, candidate, known, seen)
            else:
                copies.store(candidate, path)
                number = _create(ml, candidate, path, seen)
            made = registry.find(self._look(ml, model).shelf.versions, number)
        if made is None or made.digest != digest:
            message = f"another machine made version {number} of {model} at the same moment"
            raise StateError(message, _AGAIN)
        return made

    def promote(self, model: str, version: int, why: str, beaten: int) -> Move | None:
        """Makes a version champion and notes why; None when it is champion already."""
        with self._writing(model) as ml:
            seen = self._look(ml, model)
            entries.check_promotion(model, seen.shelf.versions, version, beaten)
            move = entries.move(seen.shelf.versions, version, ("promote", why))
            self._move(ml, model, seen, move)
        return move

    def rollback(self, model: str) -> Move:
        """Makes the champion before champion again, if its bundle is what it was."""
        with self._writing(model) as ml:
            seen = self._look(ml, model)
            version = entries.earlier(seen.shelf, model)
            entries.refuse(model, version, _bring(ml, model, version) or registry.damage(version))
            move = entries.move(seen.shelf.versions, version.version, ("rollback", ""))
            self._move(ml, model, seen, move)
        assert move is not None, "the one before is not the one of now"
        return move

    def fetch(self, model: str, version: Version) -> None:
        """Brings a version's bundle to its `path`, unless something lies there already."""
        if not version.path or Path(version.path).exists():
            return
        with self._writing(model) as ml:
            bad = _bring(ml, model, version)
        if bad:
            message = f"{model} {version.version} can not be fetched from {self.place}: {bad}"
            raise StateError(message, "run the command that registered it again")

    def _look(self, ml: Any, model: str) -> Seen:
        return assets.look(ml, model, self.models / model)

    @contextlib.contextmanager
    def _writing(self, model: str) -> Iterator[Any]:
        """Azure's SDK while nobody else on this machine writes."""
        held = Path(f"{self.models}.lock")
        held.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(held, timeout=copies.PATIENCE_SECONDS)
        with copies.alone(lock, held, self.models / model), client.opened(self.place) as ml:
            yield ml

    def _renew(self, ml: Any, candidate: Candidate, known: Version, seen: Seen) -> None:
        """What a known model has of its last judgement: tags, and a bundle with another lineage."""
        # What is kept is asked first: a bundle that did not change is not uploaded again
        lost = _bring(ml, candidate.model, known)
        if known.version == candidate.baseline:
            candidate = entries.as_before(candidate, known, seen.shelf.versions)
        path = Path(known.path)
        copies.store(candidate, path)
        tags = seen.tags[known.version]
        wanted = _tags(candidate, path, seen)
        if lost or tags.get(assets.LINEAGE) != wanted[assets.LINEAGE]:
            wanted[assets.CONTENT] = assets.keep(ml, candidate.model, path)
        change = {key: value for key, value in wanted.items() if tags.get(key) != value}
        if change:
            assets.write(ml, candidate.model, known.version, change)

    def _move(self, ml: Any, model: str, seen: Seen, move: Move | None) -> None:
        """Makes a version champion and takes that from all others; see `assets`.

        Raises:
            StateError: Another machine was faster; nothing is left of this one's move.
        """
        if move is None:  # it is champion already; somebody who was killed may have left a tag
            champion = registry.champion(seen.shelf.versions)
            assets.leave(ml, model, seen, champion.version if champion else 0)
            return
        note = assets.lead(ml, model, move, seen.shelf.notes)
        assets.leave(ml, model, seen, move.after)
        now = registry.champion(self._look(ml, model).shelf.versions)
        if now is None or now.version != move.after:
            assets.write(ml, model, move.after, {note: None, CHAMPION: None})
            who = f"version {now.version}" if now else "none"
            message = f"another machine moved the champion of {model} meanwhile: it has {who}"
            raise StateError(message, f"{_AGAIN}: it is judged against that one")


def _bring(ml: Any, model: str, version: Version) -> str:
    """Fetches a bundle that is not here; why that failed, in a few words."""
    path = Path(version.path)
    if path.exists():
        return ""

    def download(folder: Path) -> None:
        address = assets.address(ml, model, version.version)
        if address:
            content.download(ml, address, folder)

    return copies.bring(path, download, Expected(model=model, digest=version.digest))


def _create(ml: Any, candidate: Candidate, path: Path, seen: Seen) -> int:
    """Uploads a bundle and makes it a version, complete with its tags; returns its number."""
    from azure.ai.ml.entities import Model

    said = lineage.read(path / lineage.FILE)
    properties = {
        DIGEST: said.bundle,
        TRAIN: said.train,
        f"{OURS}trainer": said.trainer,
        f"{OURS}spec": files.sha256_of(said.spec),
        f"{OURS}data": said.data_digest,
        f"{OURS}code": said.code.digest,
    }
    asset = Model(
        name=candidate.model,
        type="custom_model",
        path=str(path),
        tags={**_tags(candidate, path, seen), DIGEST: said.bundle},
        properties=properties,
    )
    return int(client.uploaded(ml.models.create_or_update, asset).version)


def _tags(candidate: Candidate, path: Path, seen: Seen) -> dict[str, str]:
    """What a version says of its judgement, and of the bundle that has it in its lineage."""
    parent = candidate.known.origin.parents.champion  # known where the version itself is gone
    rival = registry.find(seen.shelf.versions, candidate.baseline) or parent
    return {
        **entries.tags(candidate),
        assets.RIVAL: rival.digest if rival else "none",
        assets.LINEAGE: files.sha256_file(path / lineage.FILE),
    }
