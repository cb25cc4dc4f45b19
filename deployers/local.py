"""`target.kind: local`: the registered model as a service on this machine.

A router listens at the address and sends each request to a deployment, as Azure ML's endpoints do:
`deployment` is the one that this spec's model goes to, `traffic` and `mirror` say who is asked.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from deployers.scoring import quantization
from deployers.scoring.quantization import Quantization  # noqa: TC001 - pydantic reads it
from deployers.scoring.settings import Serving  # noqa: TC001 - pydantic reads it
from mlops_spec import ports, secrets, services
from mlops_spec.errors import MlopsError
from mlops_spec.spec import Int, OpenSection, Shape
from mlops_spec.steps import Step

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlops_spec.facts import Facts
    from mlops_spec.spec import Spec as WholeSpec

VERIFIES = True  # what it deploys is signed by lineage.trusted_key
Name = Annotated[  # as of Azure ML's deployments
    str,
    Shape(r"^[a-z][a-z0-9-]{2,31}$", "3 to 32 small letters, digits and -, a letter first"),
]
Percent = Annotated[Int, Field(ge=0, le=100)]
_ALL = 100


class Spec(OpenSection):
    """Where the service listens, who is asked, and how each deployment serves."""

    kind: Literal["local"]
    host: str
    port: Annotated[Int, Field(ge=1, le=65535)]
    key: str | None  # ${secret:NAME}: what clients must send; null lets everybody in
    deployment: Name
    traffic: dict[Name, Percent]
    mirror: dict[Name, Percent]
    serving: Serving
    quantization: Quantization

    @model_validator(mode="after")
    def _adds_up(self) -> Self:
        if sum(self.traffic.values()) != _ALL:
            raise ValueError(f"traffic adds up to {sum(self.traffic.values())}, not to 100")
        return self


def contradictions(spec: WholeSpec) -> Iterator[tuple[str, str]]:
    """A key that is written down."""
    assert isinstance(spec.target, Spec)
    if spec.target.key and not secrets.named({"key": spec.target.key}):
        what = "a key does not belong here: write ${secret:SCORING_KEY} and set SCORING_KEY"
        yield "target.key", f"{what} in the environment"


def checks(spec: WholeSpec) -> Iterator[tuple[str, str, str]]:
    """Whether the router can have its address, and whether an engine can compute here."""
    target = spec.target
    assert isinstance(target, Spec)
    place = services.path_of(target.host, target.port)
    ours = partial(services.routes, path=place)
    yield "target", *ports.look("target", target.host, target.port, ours)
    yield "engine", *_engine(target.serving)


def _engine(how: Serving) -> tuple[str, str]:
    """Which engine computes in the precision that is asked for, and the cure where none does."""
    from deployers.scoring import engines
    from deployers.scoring.choice import AUTO

    asked = engines.names() if how.engine == AUTO else [how.engine]
    able, refused = [], []
    for name in asked:
        try:
            engines.named(name).demand(how.precision)
            able.append(name)
        except MlopsError as error:
            refused.append(error)
    if able:
        return f"{' and '.join(able)} can compute in {how.precision}", ""
    cure = " or: ".join(dict.fromkeys(error.cure for error in refused))
    return "; ".join(error.message for error in refused), cure


def facts(spec: WholeSpec) -> dict[str, Any]:
    """What is served at the address; nothing where nobody answers."""
    assert isinstance(spec.target, Spec)
    answer = ports.health(spec.target.host, spec.target.port)
    names = ("deployments", "traffic", "mirror")
    return {name: answer[name] for name in names if isinstance(answer.get(name), dict)}


def steps(spec: WholeSpec, facts: Facts) -> Iterator[Step]:
    """Quantise where int8 is asked for; start, replay the golden inputs, then send it traffic."""
    target = spec.target
    assert isinstance(target, Spec)
    words, needs = ["--bundle", "${{bundle}}", "--settings", "${{settings}}"], ["register"]
    more: dict[str, Any] = {}
    if target.serving.precision == "int8":
        more["quantization"] = target.quantization.model_dump(mode="json")
        yield quantization.step(spec, target.quantization)
        words += ["--int8", "${{quantize}}"]
        needs += ["quantize"]
    payload: dict[str, Any] = {
        "service": spec.registered_model,
        "command": ["python", "-m", "deployers.scoring", *words],
        **target.model_dump(mode="json", exclude={"kind", "quantization"}),
        **more,
    }
    if spec.lineage.trusted_key:
        payload["trusted_key"] = spec.lineage.trusted_key
    named = secrets.named(spec.model_dump(mode="json"))
    if named:
        payload["withhold"] = named  # variables that the service does not get
    code = ("deployers.scoring.__main__", "deployers.scoring.router")
    yield Step(
        "deploy",
        "service.start",
        payload,
        tuple(needs),
        code,
        _drift(target, facts, services.asked(payload)),
    )


def _drift(target: Spec, facts: Facts, asked: str) -> str:
    """Why the address is not what the spec says."""
    found, name = facts.target, target.deployment
    champion = next((v.digest for v in facts.versions if v.champion), None)
    there = found.get("deployments", {}).get(name)
    if not found.get("deployments"):
        return f"nothing answers at {target.host}:{target.port}"
    if not isinstance(there, dict) or not there.get("answers"):
        return f"deployment {name} does not answer"
    if there.get("digest") != champion:
        return f"deployment {name} serves another model"
    if there.get("asked") != asked:
        return f"deployment {name} has other settings"
    for kind in ("traffic", "mirror"):
        now, wanted = _shares(found.get(kind, {})), _shares(getattr(target, kind))
        if now != wanted:
            return f"{kind} is {now or 'none'}, not {wanted or 'none'}"
    return ""


def _shares(percents: dict[str, int]) -> str:
    """Percents in words, without those that get nothing."""
    return ", ".join(f"{name} {share}" for name, share in sorted(percents.items()) if share)
