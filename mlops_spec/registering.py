"""Writing the registry on this machine, through MLflow and in one sqlite file.

Whoever writes holds a lock, so that two promotions follow each other. A move of the champion is
two writes of MLflow's: first its note, a tag of the model, then the alias. `champions` tells why a
process that is killed between them leaves nothing false.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlops_spec import bundle, champions, copies, entries, registry, tracking
from mlops_spec.registry import CHAMPION, DIGEST, MOVE, TRAIN

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mlflow import MlflowClient
    from mlflow.entities import Run

    from mlops_spec.champions import Move
    from mlops_spec.entries import Kind
    from mlops_spec.registry import Candidate, Shelf, Version


@dataclass(frozen=True)
class LocalRegistry:
    """MLflow's registry in a sqlite file, with bundles in a folder: a `registry.Registry`."""

    database: Path  # made when absent
    models: Path  # where it keeps its own copies of bundles

    def names(self) -> list[str]:
        """The models of which a version was registered by this program."""
        return registry.names(self.database)

    def look(self, model: str) -> Shelf:
        """All that is known of a model."""
        return registry.look(self.database, self.models, model)

    def versions(self, model: str) -> list[Version]:
        """The versions of a model by number, also those of other origin."""
        return self.look(model).versions

    def history(self, model: str) -> list[Move]:
        """The moves of the champion alias, the oldest first."""
        return self.look(model).moves

    def register(self, candidate: Candidate) -> Version:
        """Makes a model a version, or finds the version that it is; the champion stays."""
        with self._writing(candidate.model) as client:
            digest = bundle.digest(candidate.bundle)
            path = registry.home_of(self.models / candidate.model, digest)
            versions = self.versions(candidate.model)
            known = next((one for one in versions if one.digest == digest), None)
            if known and known.version == candidate.baseline:
                candidate = entries.as_before(candidate, known, versions)
            copies.store(candidate, path)
            if known:
                for key, value in entries.renewed(candidate, known).items():
                    client.set_model_version_tag(candidate.model, str(known.version), key, value)
            number = known.version if known else _create(client, candidate, path, digest)
        made = registry.find(self.versions(candidate.model), number)
        assert made is not None, "it was made, or known, a moment ago"
        return made

    def promote(self, model: str, version: int, why: str, beaten: int) -> Move | None:
        """Makes a version champion and notes why; None when it is champion already."""
        with self._writing(model) as client:
            shelf = self.look(model)
            entries.check_promotion(model, shelf.versions, version, beaten)
            return _move(client, model, shelf, version, ("promote", why))

    def rollback(self, model: str) -> Move:
        """Makes the champion before champion again, if its bundle is what it was."""
        if copies.left(self.models / model):  # it may be the very bundle to go back to
            with self._alone(model):
                pass
        entries.before(self.look(model), model)  # no MLflow for a no
        with self._writing(model) as client:
            shelf = self.look(model)
            version = entries.before(shelf, model)
            move = _move(client, model, shelf, version.version, ("rollback", ""))
        assert move is not None, "the one before is not the one of now"
        return move

    def fetch(self, model: str, version: Version) -> None:
        """Nothing: there is no other place that bundles are kept in."""

    @contextlib.contextmanager
    def _writing(self, model: str) -> Iterator[MlflowClient]:
        """MLflow's client while nobody else writes.

        Raises:
            StateError: Others write for long, or the database can not be written.
        """
        with self._alone(model), tracking.told(self.database):
            yield tracking.client(tracking.uri_of(self.database.resolve()))

    @contextlib.contextmanager
    def _alone(self, model: str) -> Iterator[None]:
        """While nobody else writes, and after what was left by a writer that was killed."""
        setup = tracking.only_setup(
            tracking.uri_of(self.database.resolve()), copies.PATIENCE_SECONDS
        )
        with copies.alone(setup, self.database, self.models / model):
            yield


def _move(
    client: MlflowClient, model: str, shelf: Shelf, version: int, reason: tuple[Kind, str]
) -> Move | None:
    """Notes a move, then moves the alias; in this order, see `champions`."""
    move = entries.move(shelf.versions, version, reason)
    if move:
        note = champions.note(move)
        client.set_registered_model_tag(model, f"{MOVE}{shelf.notes + 1:06}", note)
        client.set_registered_model_alias(model, CHAMPION, str(version))
    return move


def _create(client: MlflowClient, candidate: Candidate, path: Path, digest: str) -> int:
    """Makes a version, complete with its tags in one write; returns its number."""
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(candidate.model)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    run = _track(client, candidate, digest)
    source, tags = path.resolve().as_uri(), {**entries.tags(candidate), DIGEST: digest}
    return int(client.create_model_version(candidate.model, source, run, tags=tags).version)


def _track(client: MlflowClient, candidate: Candidate, digest: str) -> str:
    """Completes the run that a model was trained in, or makes one; returns its id."""
    from mlflow.entities import Metric, RunTag

    from mlops_spec.spec import leaves

    run = _trained_in(client, candidate, digest)
    if run is None:
        experiment = tracking.experiment(client, candidate.model)
        run = client.create_run(experiment, tags={TRAIN: candidate.train})
    run_id = str(run.info.run_id)
    tracking.log_parameters(client, run, dict(leaves(bundle.read(candidate.bundle).spec)))
    client.log_batch(
        run_id,
        metrics=[Metric(k, v, run.info.start_time, 0) for k, v in candidate.metrics.items()],
        tags=[RunTag(DIGEST, digest)],
    )
    client.log_artifact(run_id, str(candidate.report))
    if run.info.status != "FINISHED":
        client.set_terminated(run_id)
    return run_id


def _trained_in(client: MlflowClient, candidate: Candidate, digest: str) -> Run | None:
    """The last run of a training step that did not fail and did not bring forth another model.

    The same step may have been performed more than once, with other weights each time.
    """
    everywhere = [one.experiment_id for one in client.search_experiments()]
    wanted = f"tags.`{TRAIN}` = '{candidate.train}' AND attributes.status != 'FAILED'"
    found = client.search_runs(everywhere, wanted)  # the last one first
    return next((run for run in found if run.data.tags.get(DIGEST, digest) == digest), None)
