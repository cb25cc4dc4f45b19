"""A request as data, its answer as data, and the table that leads from one to the other."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from functools import cache
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping

    from mlops_spec.emulator.world import World

ARM = "management.azure.com"
API = "*.api.azureml.ms"
HERE = "localhost"  # what a job is told, which need not go through the proxy
_PROVIDER = "/providers/Microsoft.MachineLearningServices/workspaces/{workspace}"
WORKSPACE = "/subscriptions/{subscription}/resourceGroups/{group}" + _PROVIDER


@dataclass(frozen=True)
class Call:
    """A request that a route has been found for.

    Attributes:
        found: What the placeholders of the route's path stand for, decoded.
        query: The parameters of the address.
        body: Its JSON, or the fields of a form; None without a body.
    """

    method: str
    host: str
    path: str
    found: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Any = None

    @property
    def url(self) -> str:
        """The address without its parameters."""
        return f"https://{self.host}{self.path}"


@dataclass(frozen=True)
class Reply:
    """An answer: JSON, or nothing."""

    status: int = 200
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Route:
    """Who answers what.

    Attributes:
        host: A name; `*` at its start stands for one label.
        path: Segments, of which `{name}` stands for any one; compared without case, as ARM does.
        handler: Who answers.
        public: Whether it is answered without a token.
    """

    method: str
    host: str
    path: str
    handler: Callable[[World, Call], Awaitable[Reply]]
    public: bool = False


class ServiceError(Exception):
    """A refusal in the words of Azure."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code = status, code

    def reply(self) -> Reply:
        """The document that Azure's clients read."""
        error = {"code": self.code, "message": str(self)}
        return Reply(self.status, {"error": error}, {"x-ms-error-code": self.code})


def invalid(message: str) -> ServiceError:
    """A request that no second try makes right."""
    return ServiceError(400, "UserError", message)


def find(
    routes: Iterable[Route], method: str, host: str, path: str
) -> tuple[Route, dict[str, str]] | None:
    """The first route of a request, with what its placeholders stand for; None without one."""
    for route in routes:
        if route.method == method and is_host(route, host):
            match = _path(route.path).fullmatch(path)
            if match:
                return route, {name: unquote(value) for name, value in match.groupdict().items()}
    return None


def is_host(route: Route, host: str) -> bool:
    """Whether a route answers for a host."""
    return _host(route.host).fullmatch(host) is not None


def with_names(call: Call, names: Mapping[str, str]) -> Call:
    """The call with what the placeholders of its route stand for."""
    return replace(call, found=names)


def with_body(call: Call, body: Any) -> Call:
    """The call with what was sent."""
    return replace(call, body=body)


@cache
def _host(pattern: str) -> re.Pattern[str]:
    return re.compile(re.escape(pattern).replace(r"\*", "[a-z0-9-]+"), re.IGNORECASE)


@cache
def _path(pattern: str) -> re.Pattern[str]:
    parts = re.split(r"\{(\w+)\}", pattern)
    words = [f"(?P<{p}>[^/]+)" if n % 2 else re.escape(p) for n, p in enumerate(parts)]
    return re.compile("".join(words) + "/?", re.IGNORECASE)
