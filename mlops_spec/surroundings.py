"""The world around a training that is to be done again, and what of it is not as it was then.

Requests follow from the recorded spec, never from a recorded command line: a record that somebody
else made can not say what this machine executes.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from mlops_spec import facts, files, kinds, machine, sources, store
from mlops_spec.errors import DifferentError, MlopsError, Problem, SpecError
from mlops_spec.facts import Facts, Lazy
from mlops_spec.likeness import Difference, differences
from mlops_spec.pretrained import digest
from mlops_spec.reasons import changes
from mlops_spec.road import data_step, evaluate_step, train_step
from mlops_spec.steps import code_of
from mlops_spec.validate import recorded as valid

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mlops_spec.pretrained import Pretrained
    from mlops_spec.recorded import Recorded
    from mlops_spec.spec import Spec
    from mlops_spec.steps import Step

_OTHER_WEIGHTS = "bring them back: a training from other weights is another question, ask `run`"
_NO_IMAGES = "bring them back: without the same images there is nothing to compare"


def spec_of(then: Recorded) -> Spec:
    """The spec of a record.

    Raises:
        SpecError: This version of the program does not understand it; each key is named.
    """
    where = str(then.folder / "spec.json")
    try:
        return valid(then.spec, where)
    except SpecError as error:
        was = then.facts.tools.get("mlops_spec", "of an unknown version")
        cure = "reproduce it with that code, or run the experiment again"
        problem = Problem(where, "", f"was recorded by other code of mlops_spec, {was}: {cure}")
        raise SpecError([*error.problems, problem]) from error


def read(then: Recorded, spec: Spec) -> Facts:
    """What the training depends on here, whatever is registered.

    Raises:
        DifferentError: Images are gone, or the weights to start from are not what they were.
    """
    fingerprint = _fingerprint(spec)
    before = store.outputs(then.planned["data"].key)
    return Facts(
        source=files.sha256_of(fingerprint),
        changes=sources.changes(before, fingerprint),
        weights=_weights(then.facts.weights),
        code=Lazy(kinds.code),
        finished=store.finished(),
        tools=Lazy(facts.version),
        machine=machine.describe(),
    )


def _fingerprint(spec: Spec) -> dict[str, str]:
    module = kinds.load("data", spec.data.kind)
    for key, message in getattr(module, "contradictions", lambda _: ())(spec):
        raise DifferentError(f"the images can not be read: {key}: {message}", _NO_IMAGES)
    try:
        return dict(module.fingerprint(spec.data))
    except (MlopsError, OSError) as error:
        raise DifferentError(f"the images can not be read: {error}", _NO_IMAGES) from error


def _weights(then: Pretrained | None) -> Pretrained | None:
    """The weights that training started from, at the same place with the same content."""
    if then is None:
        return None
    try:
        found = digest(Path(then.path).expanduser())
    except (MlopsError, OSError) as error:
        message = f"the weights to start from can not be read: {error}"
        raise DifferentError(message, _OTHER_WEIGHTS) from error
    if found != then.digest:
        message = f"{then.path} has other weights than those that training started from"
        raise DifferentError(message, _OTHER_WEIGHTS)
    return then


def requests(spec: Spec, now: Facts) -> list[Step]:
    """What is done again; curves go nowhere, since they would lie in the registry's database."""
    train = replace(train_step(spec, now.weights), variables={})
    return [data_step(spec, now.source), train, evaluate_step(spec)]


def compare(then: Recorded, spec: Spec, now: Facts) -> Iterator[Difference]:
    """All that is recorded and not as it was, the likeliest cause first."""
    steps = requests(spec, now)
    if then.facts.source != now.source:
        what = now.changes or "another source"
        yield Difference("images", what, then.facts.source, now.source)
    for step in (data_step(spec, then.facts.source), *steps[1:]):
        for change in changes(then.planned[step.id].step.payload, step.payload, {}):
            yield Difference("request", f"{step.id}: {change}", "", "")
    yield from differences("code", *_codes(then, steps, now))
    tools = {**then.facts.tools, **then.card.versions}
    yield from differences("library", tools, {name: now.tools[name] or "none" for name in tools})
    if then.facts.machine:  # runs of before did not record it
        yield from differences("machine", then.facts.machine, now.machine)


def _codes(
    then: Recorded, steps: Sequence[Step], now: Facts
) -> tuple[dict[str, str], dict[str, str]]:
    """Module -> digest of all that data, training and evaluation are done by, then and now."""
    before, after = {}, {}
    for step in steps:
        before.update(then.planned[step.id].code)
        after.update(code_of(step, now))
    return before, after
