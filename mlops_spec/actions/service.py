"""A model as a service on this machine: checked on a port of its own before it gets any traffic."""

from __future__ import annotations

import base64
import math
import os
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from mlops_spec import bundle, files, lineage, ports, secrets, services, verification
from mlops_spec.actions import Context, Outcome, _processes
from mlops_spec.actions._processes import Place
from mlops_spec.errors import StepError
from mlops_spec.services import Deployment, State
from mlops_spec.verification import Expected

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mlops_spec.steps import Step

KEY = "SCORING_KEY"  # the variable by which a service is told what clients must send
_PATIENCE_SECONDS = 120.0  # for another run that deploys at the same address
_SLACK_SECONDS = 5.0  # of the router, so that the deployment itself says that it was too slow


def start(step: Step, context: Context) -> Outcome:
    """Starts a deployment; the one before serves until the new one has passed its checks.

    Raises:
        StepError: The bundle is not what was registered, or not one that the spec trusts; the
            service does not start or answers otherwise than recorded; the address is taken.
    """
    asked = step.payload
    host, port, name = asked["host"], asked["port"], asked["deployment"]
    version = files.read_json(context.inputs["register"] / "version.json")
    path = Path(version["path"])
    _check(path, Expected(asked.get("trusted_key", ""), version["model"], version["digest"]))
    place = services.path_of(host, port)
    with services.writing(place, _PATIENCE_SECONDS):
        before = services.read(place)
        _refuse_strangers(host, port, place)
        with _running(step, version, context) as made:
            state = _state(step, before, made)
            try:
                services.write(place, state)
                _route(state, place, asked.get("withhold", ()))
                _demand_switch(state, name, place)
            except BaseException:
                if before is not None:
                    services.write(place, before)
                raise
    replaced = before.deployments.get(name) if before else None
    if replaced:
        _processes.end(replaced.pid, lambda: services.serves(replaced))
    address = f"http://{ports.shown(host, port)}/score"
    document = {"url": address, "pid": made.pid, "deployment": name, "log": made.log}
    files.write_json(context.folder / "out" / "service.json", document)
    return Outcome(f"serving at {address}")


def _check(path: Path, expected: Expected) -> None:
    """Refuses a bundle that is not what its lineage says; one without any, if a key is trusted."""
    if expected.trusted_key or os.path.lexists(path / lineage.FILE):
        verification.demand(path, expected)


def _refuse_strangers(host: str, port: int, place: Path) -> None:
    """An address at which somebody else listens is left alone."""
    if _processes.is_taken(host, port) and not _is_routed(host, port, place):
        message = f"another program listens at {host}:{port}"
        raise StepError(message, "stop it, or choose another target.port")


def _is_routed(host: str, port: int, place: Path) -> bool:
    """Whether our router listens: the process that the answer names has our file.

    An answer alone could name any process.
    """
    return services.routes(ports.answering(host, port), place)


@contextmanager
def _running(step: Step, version: dict[str, Any], context: Context) -> Iterator[Deployment]:
    """A deployment that answers as recorded, and ends if anything goes wrong after that."""
    asked, path = step.payload, Path(version["path"])
    host, name = asked["host"], asked["deployment"]
    log = services.FOLDER / f"{host}-{asked['port']}" / f"{name}.log"
    _processes.free_port(host)  # or it is no address of this machine
    place = Place(services.LOOPBACK, _processes.free_port(services.LOOPBACK), log)
    settings = context.folder / "serving.json"
    files.write_bytes(settings, files.canonical(asked["serving"]))
    known = {"${{bundle}}": str(path), "${{settings}}": str(settings)}
    known |= {f"${{{{{need}}}}}": str(folder) for need, folder in context.inputs.items()}
    command = [known.get(word, word) for word in asked["command"][1:]]
    more = ["--name", version["model"], "--version", str(version["version"])]
    key = _key(asked.get("key") or "")
    environment = {**_processes.environment(asked.get("withhold", ())), KEY: key}
    words = [*command, *more, "--host", place.host, "--port", str(place.port)]
    running = _processes.start(words, place, environment)
    try:
        _processes.wait(running, "/readyz")
        card = bundle.read(path)
        _replay(place, card, asked["serving"]["golden_tolerance"], key)
        context.emit(f"{len(card.golden)} golden inputs answered as recorded; log: {log}")
        yield Deployment(
            pid=running.pid,
            port=place.port,
            model=version["model"],
            version=version["version"],
            digest=version["digest"],
            bundle=str(path),
            log=str(log),
            asked=services.asked(asked),
        )
    except BaseException:
        _processes.stop(running.pid)
        raise


def _key(named: str) -> str:
    """What clients must send; nothing where everybody is let in.

    Raises:
        MlopsError: The secret is not set, or no client could send it.
    """
    key = secrets.resolve({KEY: named})[0][KEY]
    if named and not (key and key.isprintable() and key == key.strip()):
        message = "the key of the service is empty, has a line end, or a blank at an end"
        raise StepError(message, f"set {' and '.join(secrets.named(named))} to what clients send")
    return key


def _state(step: Step, before: State | None, made: Deployment) -> State:
    """What shall be at the address, with a new deployment.

    Raises:
        StepError: Traffic is asked for a deployment that is not there.
    """
    asked, serving = step.payload, step.payload["serving"]
    there = before.deployments if before else {}
    known = {name: each for name, each in there.items() if services.serves(each)}
    values = {
        **{name: asked[name] for name in ("host", "port", "traffic", "mirror")},
        "router": before.router if before else 0,
        "deployments": {**known, asked["deployment"]: made},
        "max_bytes": serving["max_bytes"],
        "body_seconds": serving["body_seconds"],
        "answer_seconds": serving["answer_seconds"] + _SLACK_SECONDS,
    }
    try:
        return State.model_validate(values)
    except ValidationError as error:
        said = error.errors()[0]["msg"].removeprefix("Value error, ")
        message = f"target.traffic and target.mirror can not be had: {said}"
        raise StepError(message, "deploy it first, with target.deployment") from error


def _route(state: State, place: Path, withheld: Sequence[str]) -> None:
    """Has a router listen at the address, if there is none yet.

    Raises:
        StepError: It does not start.
    """
    host, port = state.host, state.port
    if _is_routed(host, port, place):
        return
    log = services.FOLDER / f"{host}-{port}" / "router.log"
    words = ["-m", "deployers.scoring.router", "--state", str(place.resolve())]
    here = Place(host, port, log)
    running = _processes.start(words, here, _processes.environment(withheld))
    try:
        services.write(place, state.model_copy(update={"router": running.pid}))
        _processes.wait(running, "/healthz")
    except BaseException:
        _processes.stop(running.pid)
        raise


def _demand_switch(state: State, name: str, place: Path) -> None:
    """Refuses a router that does not know a new deployment: the one before serves on.

    Raises:
        StepError: It can not read the state, such as one that another version started.
    """
    try:
        known = ports.health(state.host, state.port)["deployments"][name]["pid"]
    except (TypeError, KeyError):
        known = None
    if known != state.deployments[name].pid:
        message = f"the router at {state.host}:{state.port} does not follow {place}"
        cure = f"python -m mlops_spec services stop {state.port}, then run the same command again"
        raise StepError(message, cure)


def _replay(place: Place, card: bundle.Card, tolerance: float, key: str) -> None:
    """Sends the golden inputs and compares the probabilities with those that training recorded.

    Raises:
        StepError: An answer is another one, or there is nothing to compare.
    """
    if not card.golden:
        message = "the bundle has no golden inputs: nobody can tell whether a service answers right"
        cure = "train again with validation images; a trainer of your own calls golden.record"
        raise StepError(message, cure)
    off = [_off(place, number, card, key) for number in range(len(card.golden))]
    worst = max(range(len(off)), key=off.__getitem__)
    if off[worst] > tolerance:
        message = f"golden input {worst + 1} is off by {off[worst]:.3g}"
        message += f", golden_tolerance is {tolerance:g}: the service answers otherwise"
        cure = f"compare the libraries of this machine with model.json, see {place.log}"
        raise StepError(message, f"{cure}, or allow more by target.serving.golden_tolerance")


def _off(place: Place, number: int, card: bundle.Card, key: str) -> float:
    """The largest difference of a probability from the recorded one; infinite for no number.

    Raises:
        StepError: The service does not answer, or refuses.
    """
    golden, address = card.golden[number], (place.host, place.port)
    headers = {"Authorization": f"Bearer {key}".encode()} if key else {}
    image = base64.b64decode(golden.image)
    status, answer = _processes.ask(address, "POST", "/score?top=0", image, headers)
    if status != HTTPStatus.OK:
        said = answer.get("error") if isinstance(answer, dict) else None
        message = f"golden input {number + 1} is answered by {status or 'nothing'}"
        raise StepError(f"{message}: {said}" if said else message, f"see {place.log}")
    got = _scores(answer, card.labels)
    found = [abs(a - b) for a, b in zip(got, golden.scores, strict=True)]
    return max(one if math.isfinite(one) else math.inf for one in found)


def _scores(answer: Any, labels: Sequence[str]) -> list[float]:
    """The probability of each label in an answer; infinite where it has none."""
    try:
        (said,) = answer["predictions"]
        found = {each["label"]: each["probability"] for each in said["top"]}
    except (TypeError, KeyError, ValueError):
        found = {}
    values = [found.get(label) for label in labels]
    return [v if isinstance(v, float) or v in (0, 1) else math.inf for v in values]
