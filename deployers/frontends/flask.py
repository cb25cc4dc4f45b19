"""`frontend.kind: flask`: a page on this machine that people show pictures to."""

from __future__ import annotations

from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import Field

from deployers.frontends._page.settings import (  # noqa: TC001 - pydantic reads them
    Count,
    Limits,
    Scoring,
)
from mlops_spec import files, pages, ports, requirements, secrets
from mlops_spec.errors import StateError
from mlops_spec.spec import Fraction, Int, OpenSection
from mlops_spec.steps import Step

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mlops_spec.facts import Facts
    from mlops_spec.spec import Spec as WholeSpec

_PROGRAM = "deployers.frontends._page"
_INSTALL = "pip install 'mlops_spec[frontend]'"
_PLACE = {"kind", "host", "port"}  # what is no setting of the program


class Spec(OpenSection):
    """Where the page is, whom it asks, and what it lets in."""

    kind: Literal["flask"]
    host: str
    port: Annotated[Int, Field(ge=1, le=65535)]
    title: Annotated[str, Field(min_length=1)]
    top_k: Count
    unsure: Fraction
    scoring: Scoring
    limits: Limits
    proxies: Annotated[Int, Field(ge=0)]


def contradictions(spec: WholeSpec) -> Iterator[tuple[str, str]]:
    """No Flask, a key that is written down, no address, limits that exclude each other."""
    page = _of(spec)
    if not (find_spec("flask") and find_spec("waitress")):
        yield "frontend.kind", f"a page needs Flask and waitress: {_INSTALL}"
    if page.scoring.key and not secrets.named({"key": page.scoring.key}):
        what = "a key does not belong here: write ${secret:SCORING_KEY} and set SCORING_KEY"
        yield "frontend.scoring.key", f"{what} in the environment"
    if not _is_address(page.scoring.url):
        what = "should be http://HOST:PORT or https://HOST, an IPv6 address in brackets"
        yield "frontend.scoring.url", f"{what}, got {page.scoring.url!r}"
    for name, bound in (("files", "per_minute"), ("file_bytes", "request_bytes")):
        most = getattr(page.limits, bound)
        if getattr(page.limits, name) > most:
            yield f"frontend.limits.{name}", f"should be at most frontend.limits.{bound}, {most}"


def checks(spec: WholeSpec) -> Iterator[tuple[str, str, str]]:
    """Whether the page can have its address, and whether what it is made of is new enough."""
    page = _of(spec)
    noted = partial(_is_noted, pages.path_of(page.host, page.port), page.port)
    yield "frontend", *ports.look("frontend", page.host, page.port, noted)
    wanting = list(requirements.wanting("frontend"))
    text = "; ".join(wanting) or "Flask and waitress are installed"
    yield "frontend", text, _INSTALL if wanting else ""


def _is_noted(note: Path, port: int, pid: int) -> bool:
    """Whether a process is the page that a run here has started."""
    try:
        page = pages.read(note)
    except StateError:
        return False
    return page is not None and page.pid == pid and pages.is_page(page, port)


def _of(spec: WholeSpec) -> Spec:
    assert isinstance(spec.frontend, Spec)
    return spec.frontend


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        port = parts.port  # of another kind it raises
    except ValueError:
        return False
    plain = port != 0 and not (parts.username or parts.query or parts.fragment)
    return parts.scheme in ("http", "https") and bool(parts.hostname) and plain


def facts(spec: WholeSpec) -> dict[str, Any]:
    """The digest of the settings of the page at the address; None where no page answers."""
    page = _of(spec)
    return {"settings": ports.health(page.host, page.port).get("settings")}


def steps(spec: WholeSpec, facts: Facts) -> Iterator[Step]:
    """One step: start the page. It asks an address, so that another model there is no reason."""
    page = _of(spec)
    settings = page.model_dump(mode="json", exclude=_PLACE)
    key = settings["scoring"].pop("key")
    payload: dict[str, Any] = {
        "command": ["python", "-m", _PROGRAM, "--settings", "${{settings}}"],
        "host": page.host,
        "port": page.port,
        "settings": settings,
        "environment": {"SCORING_KEY": key} if key else {},
    }
    named = secrets.named(spec.model_dump(mode="json"))
    if named:
        payload["withhold"] = named  # variables that the page does not get
    drift, there = "", facts.frontend["settings"]
    if there != files.sha256_of(settings):
        drift = f"{page.host}:{page.port} has other settings"
    if there is None:
        drift = f"nothing answers at {page.host}:{page.port}"
    yield Step("page", "page.start", payload, (), (f"{_PROGRAM}.__main__",), drift)
