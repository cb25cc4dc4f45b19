"""The addresses of the service.

POST /score          images -> what they are, in order
GET  /healthz        the process lives, and what it serves
GET  /readyz         it answers requests now
GET  /metrics        numbers for Prometheus
GET  /model          the bundle's card, and what computes it
GET  /openapi.json   this contract; GET /docs for people
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import os
import re
import time
import uuid
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from deployers.scoring import openapi, wire
from deployers.scoring.log import line
from deployers.scoring.refusal import Refusal, too_large

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from deployers.scoring.service import Service
    from deployers.scoring.telemetry import Telemetry

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_HUNG_UP = 499  # the client did: nobody hears it, the log does


class App:
    """A service behind HTTP.

    Args:
        service: What answers.
        telemetry: What counts.
        key: What clients must send as `Authorization: Bearer KEY`; empty lets everybody in.
    """

    def __init__(self, service: Service, telemetry: Telemetry, key: str = "") -> None:
        self._service, self._telemetry, self._key = service, telemetry, key

    def asgi(self) -> Starlette:
        """It as an ASGI application."""
        routes = [
            Route("/score", self._score, methods=["POST"]),
            Route("/healthz", self._healthz),
            Route("/readyz", self._readyz),
            Route("/metrics", self._metrics),
            Route("/model", self._model),
            Route("/openapi.json", self._openapi),
            Route("/docs", self._docs),
        ]
        return Starlette(routes=routes, lifespan=self._lifespan)

    @contextlib.asynccontextmanager
    async def _lifespan(self, _app: Starlette) -> AsyncIterator[None]:
        work = asyncio.create_task(self._service.work())
        work.add_done_callback(_ended)
        yield
        work.cancel()
        await asyncio.to_thread(self._service.sampler.close)

    async def _score(self, request: Request) -> Response:
        """Answers a request or says why not; each is counted and has a line in the log."""
        given = request.headers.get("x-request-id", "")
        name = given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
        begin, retry = time.perf_counter(), None
        try:
            self._let_in(request)
            status, document = 200, await self._answered(request, name)
        except Refusal as refusal:
            status, retry = int(refusal.status), refusal.retry_after
            document = {"error": str(refusal)}
        except ClientDisconnect:
            status, document = _HUNG_UP, {}
        except Exception as error:  # noqa: BLE001 - the next request must be answered all the same
            status, document = 500, {"error": "the model could not answer this"}
            line(level="error", request=name, error=f"{type(error).__name__}: {error}")
        seconds, images = time.perf_counter() - begin, len(document.get("predictions", ()))
        self._telemetry.ended(status, images, seconds)
        line(request=name, status=status, images=images, ms=round(seconds * 1000, 1))
        headers = {"X-Request-Id": name}
        if retry is not None:
            headers["Retry-After"] = str(retry)
        return JSONResponse(document, status, headers)

    def _let_in(self, request: Request) -> None:
        given = request.headers.get("authorization", "").encode("latin-1")  # as it was sent
        if self._key and not hmac.compare_digest(given, f"Bearer {self._key}".encode()):
            message = "send the key of this service as `Authorization: Bearer KEY`"
            raise Refusal(HTTPStatus.UNAUTHORIZED, message)

    async def _answered(self, request: Request, name: str) -> dict[str, Any]:
        top = wire.top(request.query_params.get("top"), self._service.how.top_k)
        body = await self._body(request)
        content_type = request.headers.get("content-type", "")
        return await self._service.answer(content_type, body, top, name)

    async def _body(self, request: Request) -> bytes:
        """All of a request, unless it is too large or comes too slowly."""
        how = self._service.how
        message = f"more than {how.max_bytes} bytes"
        length = request.headers.get("content-length", "")
        if length.isdigit() and int(length) > how.max_bytes:
            raise too_large(message)
        body = bytearray()
        try:
            async with asyncio.timeout(how.body_seconds):
                async for part in request.stream():
                    body += part
                    if len(body) > how.max_bytes:
                        raise too_large(message)
        except TimeoutError as error:
            message = f"the request was not sent within {how.body_seconds:g} s"
            raise Refusal(HTTPStatus.REQUEST_TIMEOUT, message) from error
        return bytes(body)

    async def _healthz(self, _request: Request) -> Response:
        return JSONResponse({"pid": os.getpid(), **self._service.served.named()})

    async def _readyz(self, _request: Request) -> Response:
        ready = self._service.ready
        return JSONResponse({"ready": ready}, 200 if ready else 503)

    async def _metrics(self, _request: Request) -> Response:
        return Response(self._telemetry.page(), media_type="text/plain; version=0.0.4")

    async def _model(self, request: Request) -> Response:
        try:
            self._let_in(request)
        except Refusal as refusal:
            return JSONResponse({"error": str(refusal)}, int(refusal.status))
        served = self._service.served
        card = served.card.model_dump(mode="json", exclude={"golden"})
        more = {"registered": served.registered, **served.chosen.document()}
        return JSONResponse({**served.named(), **more, "card": card})

    async def _openapi(self, _request: Request) -> Response:
        return JSONResponse(openapi.document(self._service.how))

    async def _docs(self, _request: Request) -> Response:
        return HTMLResponse(openapi.page(self._service.how))


def _ended(work: asyncio.Task[None]) -> None:
    """The engine must not die silently: a service that can not answer is none."""
    error = None if work.cancelled() else work.exception()
    if error is None:
        return
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    line(level="error", error=f"{type(error).__name__}: {error}")
    os.kill(os.getpid(), 15)
