"""One address for several deployments: `python -m deployers.scoring.router --state FILE`.

Each request goes to one deployment, by the weights in the state file, which is read again when it
changes: a switch loses no request. Some are mirrored: another deployment is asked the same and its
answer dropped. A client may name a deployment, as with Azure ML's endpoints, by the header
`azureml-model-deployment`; `X-Deployment` of an answer says which it was.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import random
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
from aiohttp import web
from multidict import CIMultiDict
from yarl import URL

from deployers.scoring.log import line
from mlops_spec import services
from mlops_spec.errors import MlopsError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping

    from multidict import CIMultiDictProxy

    from mlops_spec.services import Deployment, State

CHOSEN, ANSWERED_BY = "azureml-model-deployment", "X-Deployment"
_MIRRORED = 16  # requests at a time; more are not mirrored, so that nobody waits for them
_CONNECT_SECONDS = 2.0
_PATIENCE = aiohttp.ClientTimeout(1.0)  # for a deployment to say that it is ready
# Of one connection, not of a request (RFC 9110, 7.6.1)
_HOP = {"connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "host"}
_HOP |= {"content-length", "expect"}  # made anew; heard already
_ADDED = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")  # by aiohttp, unless told


class Router:
    """Sends requests on."""

    def __init__(self, path: Path) -> None:
        self._path, self._seen = path, (0, 0)
        self.state = self._read()
        self._mirroring: set[asyncio.Task[None]] = set()
        self._session: aiohttp.ClientSession | None = None

    def app(self) -> web.Application:
        """It as an application of aiohttp."""
        app = web.Application()
        app.router.add_get("/healthz", self._healthz)
        app.router.add_route("*", "/{path:.*}", self._forward)
        app.cleanup_ctx.append(self._open)
        app.on_response_prepare.append(_nameless)
        return app

    async def _open(self, _app: web.Application) -> AsyncIterator[None]:
        connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=4)  # the services' own is 5
        async with aiohttp.ClientSession(
            connector=connector, auto_decompress=False, skip_auto_headers=_ADDED
        ) as session:
            self._session = session
            yield
            for task in self._mirroring:
                task.cancel()

    def _read(self) -> State:
        """The state file, read again if it changed; what was known where it can not be read."""
        there = self._path.stat()
        changed = (there.st_mtime_ns, there.st_ino)  # two writes may share a tick of the clock
        if changed != self._seen:
            found = services.read(self._path)
            assert found is not None, "it was there a moment ago"
            self._seen, self.state = changed, found
        return self.state

    def _now(self) -> State:
        try:
            return self._read()
        except (MlopsError, OSError) as error:
            line(level="error", error=str(error))
            return self.state

    async def _healthz(self, _request: web.Request) -> web.Response:
        """What is served, and whether each deployment answers."""
        state = self._now()
        alive = await asyncio.gather(*(self._answers(each) for each in state.deployments.values()))
        told = {"pid", "model", "version", "digest", "asked"}
        deployments = {
            name: {**each.model_dump(include=told), "answers": answers}
            for (name, each), answers in zip(state.deployments.items(), alive, strict=True)
        }
        more = {"traffic": state.traffic, "mirror": state.mirror}
        return web.json_response({"pid": os.getpid(), "deployments": deployments, **more})

    async def _answers(self, deployment: Deployment) -> bool:
        try:
            async with self._opened().get(
                self._address(deployment, URL("/readyz")), timeout=_PATIENCE
            ) as answer:
                return answer.status == 200  # noqa: PLR2004 - HTTP's OK
        except (aiohttp.ClientError, TimeoutError):
            return False

    async def _forward(self, request: web.Request) -> web.Response:
        state = self._now()
        try:
            async with asyncio.timeout(state.body_seconds):
                body = await request.clone(client_max_size=state.max_bytes).read()
        except TimeoutError:
            return _no(408, f"the request was not sent within {state.body_seconds:g} s")
        except web.HTTPRequestEntityTooLarge:
            return _no(413, f"more than {state.max_bytes} bytes")
        except (web.RequestPayloadError, ConnectionError):
            return _no(400, "the request did not arrive whole")
        chosen = request.headers.get(CHOSEN)
        if chosen and chosen not in state.deployments:
            known = ", ".join(state.deployments)
            return _no(404, f"no deployment {chosen} (deployments: {known})")
        self._mirror(state, request, body)
        for name, each in self._candidates(chosen):
            answer = await self._answer(state, name, each, request, body)
            if answer is not None:
                return answer
        return _no(503, "no deployment answers", {"Retry-After": "1"})

    def _candidates(self, chosen: str | None) -> Iterator[tuple[str, Deployment]]:
        """Deployments to ask until one answers; what is switched meanwhile counts at once."""
        tried: set[int] = set()
        while True:
            left = [
                (name, each) for name, each in _order(self._now(), chosen) if each.pid not in tried
            ]
            if not left:
                return
            tried.add(left[0][1].pid)
            yield left[0]

    async def _answer(
        self, state: State, name: str, each: Deployment, request: web.Request, body: bytes
    ) -> web.Response | None:
        """A deployment's answer; None where it is not there to be asked."""
        try:
            status, headers, content = await self._ask(each, state.answer_seconds, request, body)
        except aiohttp.ClientError as error:
            line(level="error", deployment=name, error=f"{type(error).__name__}: {error}")
            return None
        except TimeoutError:
            return _no(504, f"no answer in {state.answer_seconds:g} s", {ANSWERED_BY: name})
        headers[ANSWERED_BY] = name
        return web.Response(status=status, headers=headers, body=content)

    async def _ask(
        self, each: Deployment, seconds: float, request: web.Request, body: bytes
    ) -> tuple[int, CIMultiDict[str], bytes]:
        """Sends a request on; again if the connection was one that the other side had left."""
        headers = _passed_on(request.headers)
        for last in (False, True):
            try:
                async with self._opened().request(
                    request.method,
                    self._address(each, request.rel_url),
                    headers=headers,
                    data=body or None,
                    allow_redirects=False,
                    timeout=aiohttp.ClientTimeout(seconds, sock_connect=_CONNECT_SECONDS),
                ) as answer:
                    return answer.status, _passed_on(answer.headers), await answer.read()
            except aiohttp.ServerDisconnectedError:
                if last:
                    raise
        raise AssertionError("one of both ends")  # for type checkers

    def _opened(self) -> aiohttp.ClientSession:
        assert self._session is not None, "requests come after the start"
        return self._session

    def _address(self, deployment: Deployment, asked: URL) -> URL:
        """Where a deployment is asked; never another host, whatever `//HOST/` a client asks for."""
        return URL.build(
            scheme="http",
            host=services.LOOPBACK,
            port=deployment.port,
            path=asked.raw_path,
            query_string=asked.raw_query_string,
            encoded=True,
        )

    def _mirror(self, state: State, request: web.Request, body: bytes) -> None:
        """Asks others as well, unless so many are asked already that it would cost somebody."""
        for name, percent in state.mirror.items():
            if len(self._mirroring) < _MIRRORED and random.randrange(100) < percent:  # noqa: S311
                task = asyncio.create_task(self._asked_too(state, name, request, body))
                self._mirroring.add(task)
                task.add_done_callback(self._mirroring.discard)

    async def _asked_too(self, state: State, name: str, request: web.Request, body: bytes) -> None:
        await self._answer(state, name, state.deployments[name], request, body)


class _Lines(logging.Handler):
    """What aiohttp says of a request that is no HTTP, in a line like all others."""

    def emit(self, record: logging.LogRecord) -> None:
        """Writes it."""
        error = record.exc_info[1] if record.exc_info else None
        said = f": {type(error).__name__}: {error}" if error else ""
        line(level="error", error=f"{record.getMessage()}{said}")


async def _nameless(_request: web.Request, response: web.StreamResponse) -> None:
    """Versions of the program are nobody's business."""
    response.headers.pop("Server", None)


def _passed_on(headers: CIMultiDictProxy[str]) -> CIMultiDict[str]:
    """Headers that are about the request or the answer, not about one connection."""
    listed = ",".join(headers.getall("Connection", ())).lower()
    dropped = _HOP.union(name.strip() for name in listed.split(","))
    return CIMultiDict((k, value) for k, value in headers.items() if k.lower() not in dropped)


def _order(state: State, chosen: str | None) -> list[tuple[str, Deployment]]:
    """Deployments in the order in which they are asked, the first by the weights of the traffic."""
    if chosen:
        return [(chosen, state.deployments[chosen])] if chosen in state.deployments else []
    left = {name: weight for name, weight in state.traffic.items() if weight}
    names: list[str] = []
    while left:
        (name,) = random.choices([*left], [*left.values()])  # noqa: S311 - no secret
        names.append(name)
        del left[name]
    return [(name, state.deployments[name]) for name in names]


def _no(status: int, message: str, headers: Mapping[str, str] | None = None) -> web.Response:
    return web.json_response({"error": message}, status=status, headers=headers)


def main() -> None:
    """Routes until it is told to end."""
    parser = argparse.ArgumentParser("python -m deployers.scoring.router", description=__doc__)
    parser.add_argument("--state", type=Path, required=True)
    args = parser.parse_args()
    logging.getLogger("aiohttp.server").addHandler(_Lines())
    try:
        router = Router(args.state)
    except (MlopsError, OSError) as error:
        parser.exit(1, f"error: {error}\n")
    state = router.state
    longest = state.body_seconds + state.answer_seconds  # so long may a request take at the end
    where: dict[str, Any] = {"host": state.host, "port": state.port, "shutdown_timeout": longest}
    where["auto_decompress"] = False  # what is passed on is what its headers say
    try:
        web.run_app(router.app(), **where, print=None, access_log=None)
    except OSError as error:
        parser.exit(1, f"error: {error.strerror}\n")


if __name__ == "__main__":
    main()
