"""Facts for tests, derived from a short history instead of copied keys.

A history is a list of events, oldest first. `overrides` is a run: it is planned against the world
of its time, and every step it would have performed becomes a finished record; a promoted model
becomes a version and champion. `steps` tells what else became of a step: `unfinished`, `refused`,
or the damage that its outputs met afterwards. `registered` is a model that someone else made
champion, `champion` the version that people moved the alias to, `rollback` the one gone back to.
"""

from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

from mlops_spec.compose import Composer
from mlops_spec.facts import Facts, Infra, Lazy, Record
from mlops_spec.plan import plan
from mlops_spec.pretrained import Pretrained
from mlops_spec.registry import Version
from mlops_spec.validate import parse


@dataclass(frozen=True)
class Now:
    """What is wanted, and the part of the world that is not history."""

    overrides: list[str]
    conf: dict[str, str] = field(default_factory=dict)  # file below conf/ -> its text
    source: str = "images"
    weights: Pretrained | None = None
    code: dict[str, str] = field(default_factory=dict)  # module -> digest, "first" if not given
    infra: dict[str, str | list[str]] | None = None  # what Terraform tells


@dataclass
class World:
    """What earlier runs left."""

    versions: list[Version] = field(default_factory=list)
    finished: dict[str, Record] = field(default_factory=dict)
    latest: dict[str, dict[str, Record]] = field(default_factory=dict)  # by experiment

    def plan(self, now):
        """The plan of a wish in this world."""
        composition, spec = compose(now)
        facts = Facts(
            source=now.source,
            versions=tuple(self.versions),
            weights=now.weights,
            code=Lazy(lambda module: {module: now.code.get(module, "first")}),
            finished=self.finished,
            latest=self.latest.get(spec.name, {}),
            infra=Infra(**{"code": "first", **now.infra}) if now.infra is not None else None,
        )
        return plan(spec, facts, composition.origins)

    def after(self, event):
        """This world, one event later."""
        event = dict(event)
        if "registered" in event:
            self._promote(event.pop("registered"))
        elif "champion" in event:
            self._crown(event.pop("champion"))
        elif "rollback" in event:
            self._go_back(event.pop("rollback"))
        else:
            outcomes = event.pop("steps", {})
            self._ran(self.plan(Now(**event)), outcomes)
            event = {}
        assert not event, f"an event is one thing: {event}"
        return self

    def _ran(self, todo, outcomes):
        stopped, refused = set(), set()
        for planned in todo.steps:
            outcome = outcomes.get(planned.step.id, "")
            fine = refused if planned.step.anyway else set()
            if planned.status == "skip" or (stopped - fine) & {*planned.needs}:
                stopped.add(planned.step.id)
                continue
            if outcome == "unfinished":
                stopped.add(planned.step.id)
                self.finished[planned.key] = record(planned, "it did not finish the last time")
                continue
            if outcome == "refused":
                stopped.add(planned.step.id)
                refused.add(planned.step.id)
            done = record(planned, outcome)
            self.finished[planned.key] = done
            self.latest.setdefault(todo.experiment, {})[planned.step.id] = done
        keeps = any("--keep" in p.step.payload.get("command", ()) for p in todo.steps)
        if not stopped & {"register", "pipeline"} and not keeps:
            self._promote(next(filter(None, map(trained, todo.steps))))

    def _promote(self, train):
        known = next((v.version for v in self.versions if v.train == train), None)
        if known is None:
            rival = next((v.version for v in self.versions if v.champion), 0)
            known = len(self.versions) + 1
            bundle = f".mlops/models/digits/{train[:16]}"
            self.versions.append(Version(known, train, rival, bundle, champion=False))
        self._crown(known)

    def _crown(self, version):
        crowned = [replace(v, champion=v.version == version) for v in self.versions]
        self.versions = [replace(v, rolled_back=False) if v.champion else v for v in crowned]

    def _go_back(self, version):
        left = [replace(v, rolled_back=v.champion or v.rolled_back) for v in self.versions]
        self.versions = left
        self._crown(version)


def trained(planned):
    """The key of the training, of a step that trains."""
    if planned.step.id == "pipeline":
        return planned.step.payload["job"]["inputs"]["key"]
    return planned.key if planned.step.id == "train" else None


def record(planned, outcome=""):
    """What remains of a step that was performed; `outcome` is its damage, or `refused`."""
    refused = outcome == "refused"
    return Record(
        id=planned.step.id,
        key=planned.key,
        action=planned.step.action,
        payload=planned.step.payload,
        needs=planned.needs,
        code=planned.code,
        text=f"{planned.step.id} done",
        metrics={},
        refused=refused,
        seconds=2.0,
        damage="" if refused else outcome,
    )


def compose(now):
    """The composition and the validated spec of a wish, in the working folder."""
    for name, text in now.conf.items():
        path = Path("conf") / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    composer = Composer() if now.conf else _shipped()
    composition = composer.compose(now.overrides)
    return composition, parse(composition.values, composition.origins, composition.problems)


@cache
def _shipped():
    return Composer()
