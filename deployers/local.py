"""`target.kind: local`: the registered model as a service on this machine."""

from __future__ import annotations

import http.client
import json
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from mlops_spec import secrets
from mlops_spec.spec import Int, OpenSection
from mlops_spec.steps import Step

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlops_spec.facts import Facts
    from mlops_spec.spec import Spec as WholeSpec

VERIFIES = True  # what it deploys is signed by lineage.trusted_key


class Spec(OpenSection):
    """Where the service listens."""

    kind: Literal["local"]
    host: str
    port: Annotated[Int, Field(ge=1, le=65535)]


def facts(spec: WholeSpec) -> dict[str, Any]:
    """Whether a service answers at the address."""
    assert isinstance(spec.target, Spec)
    connection = http.client.HTTPConnection(spec.target.host, spec.target.port, timeout=1)
    try:
        connection.request("GET", "/healthz")
        answer = json.loads(connection.getresponse().read())
    except (OSError, http.client.HTTPException, ValueError):
        return {"digest": None}
    finally:
        connection.close()
    return {"digest": answer.get("digest") if isinstance(answer, dict) else None}


def steps(spec: WholeSpec, facts: Facts) -> Iterator[Step]:
    """One step: start the service, replay the golden inputs, switch over."""
    assert isinstance(spec.target, Spec)
    host, port = spec.target.host, spec.target.port
    payload: dict[str, Any] = {
        "service": spec.registered_model,
        "command": ["python", "-m", "deployers.scoring", "--bundle", "${{bundle}}"],
        "host": host,
        "port": port,
    }
    if spec.lineage.trusted_key:
        payload["trusted_key"] = spec.lineage.trusted_key
    named = secrets.named(spec.model_dump(mode="json"))
    if named:
        payload["withhold"] = named  # variables that the service does not get
    served = facts.target["digest"]
    champion = next((v.digest for v in facts.versions if v.champion), None)
    drift = f"{host}:{port} serves another model" if served != champion else ""
    if not served:
        drift = f"nothing answers at {host}:{port}"
    code = ("deployers.scoring.__main__",)
    yield Step("deploy", "service.start", payload, ("register",), code, drift)
