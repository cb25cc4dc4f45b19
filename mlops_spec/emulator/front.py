"""What the TLS server does with a request: answers it, or hands it to the blob storage."""

from __future__ import annotations

import json
import logging
import xml.etree.ElementTree as ET
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from aiohttp import ClientConnectionError, web
from yarl import URL

from mlops_spec.emulator import faults, routing
from mlops_spec.emulator.routing import Call, Reply, ServiceError
from mlops_spec.emulator.sas import DOMAIN

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlops_spec.emulator.recorder import Recorder
    from mlops_spec.emulator.sas import Account
    from mlops_spec.emulator.world import World

_MAX_BODY = 16 << 20  # of what is not a blob
_OF_A_CONNECTION = {"connection", "keep-alive", "transfer-encoding", "host", "expect", "upgrade"}
_CHUNK = 1 << 16
_log = logging.getLogger(__name__)


class Front:
    """Answers requests.

    Args:
        world: What answers share.
        routes: Who answers what.
        accounts: Whose blobs are here.
        recorder: Where it is written down.
    """

    def __init__(
        self,
        world: World,
        routes: Sequence[routing.Route],
        accounts: Sequence[Account],
        recorder: Recorder,
    ) -> None:
        self._world, self._routes, self._recorder = world, routes, recorder
        self._accounts = {account.host: account for account in accounts}

    def is_emulated(self, host: str) -> bool:
        """Whether anything of a host is answered here."""
        return host in self._accounts or any(routing.is_host(route, host) for route in self._routes)

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answers one request."""
        with self._world.activity.work():
            return await self._answered(request, _call(request))

    async def _answered(self, request: web.BaseRequest, call: Call) -> web.StreamResponse:
        try:
            if call.host.endswith(f".{DOMAIN}"):
                return await self._blob(request, call)
            call = await _with_body(request, call)
            reply = await self._reply(call)
        except faults.DroppedError:
            return self._dropped(request, call)
        self._recorder.write(call, reply)
        return _response(reply)

    async def _reply(self, call: Call) -> Reply:
        try:
            return self._world.faults.answer(call) or await self._answer(call)
        except ServiceError as error:
            return error.reply()
        except faults.DroppedError:
            raise
        except Exception as error:  # noqa: BLE001 - a bug here must not look like Azure's
            _log.exception("%s %s", call.method, call.url)
            return ServiceError(500, "EmulatorError", f"{type(error).__name__}: {error}").reply()

    async def _answer(self, call: Call) -> Reply:
        found = routing.find(self._routes, call.method, call.host, call.path)
        if found is None:
            message = f"The emulator has no answer to {call.method} {call.url}."
            raise ServiceError(404, "NotEmulated", message)
        route, names = found
        if not route.public and not self._world.identity.accepts(_bearer(call)):
            message = "The access token is missing, has run out, or is not the emulator's."
            raise ServiceError(401, "AuthenticationFailed", message)
        return await route.handler(self._world, routing.with_names(call, names))

    def _dropped(self, request: web.BaseRequest, call: Call) -> web.StreamResponse:
        self._recorder.write(call, Reply(0))
        if request.transport:
            request.transport.abort()
        return web.Response()

    async def _blob(self, request: web.BaseRequest, call: Call) -> web.StreamResponse:
        signature = ""
        try:
            planned = self._world.faults.answer(call)
            signature = self._signature(call)
        except ServiceError as error:
            planned = error.reply()
        if planned:
            self._recorder.write(call, planned)
            return _blob_response(planned)
        return await self._forwarded(request, call, signature)

    def _signature(self, call: Call) -> str:
        """For who has a token, which Azurite takes over TLS alone: what its account allows."""
        if not _bearer(call).lower().startswith("bearer "):
            return ""
        account = self._accounts.get(call.host)
        if account is None or not self._world.identity.accepts(_bearer(call)):
            message = "The access token is missing, has run out, or is not the emulator's."
            raise ServiceError(401, "InvalidAuthenticationInfo", message)
        return account.for_all()

    async def _forwarded(
        self, request: web.BaseRequest, call: Call, signature: str
    ) -> web.StreamResponse:
        """Hands a request to Azurite, whose answer goes back as it is."""
        blobs, kept = self._world.blobs, _end_to_end(request.headers)
        data, path = request.content if request.body_exists else None, request.raw_path
        if signature:
            kept = {name: value for name, value in kept.items() if name.lower() != "authorization"}
            path += ("&" if "?" in path else "?") + signature
        url = URL(f"http://127.0.0.1:{blobs.port}{path}", encoded=True)
        asked = {**kept, "Host": call.host}
        try:
            async with blobs.session.request(
                request.method, url, data=data, headers=asked, allow_redirects=False
            ) as there:
                headers = _end_to_end(there.headers)
                self._recorder.write(call, Reply(there.status, None, headers))
                response = web.StreamResponse(status=there.status, headers=headers)
                await response.prepare(request)
                async for chunk in there.content.iter_chunked(_CHUNK):
                    await response.write(chunk)
                await response.write_eof()
                return response
        except ClientConnectionError:
            gone = ServiceError(503, "ServerBusy", "Blob storage is gone.")
            return _blob_response(gone.reply())


def _call(request: web.BaseRequest) -> Call:
    path, _, query = request.raw_path.partition("?")
    host = request.host.partition(":")[0].lower()
    return Call(
        request.method,
        host,
        path,
        {},
        dict(parse_qsl(query, keep_blank_values=True)),
        request.headers,
    )


async def _with_body(request: web.BaseRequest, call: Call) -> Call:
    """Reads JSON or a form."""
    content = bytearray()
    async for chunk in request.content.iter_chunked(_CHUNK):
        content += chunk
        if len(content) > _MAX_BODY:
            raise web.HTTPRequestEntityTooLarge(_MAX_BODY, len(content))
    return routing.with_body(call, _parsed(bytes(content), request.content_type))


def _parsed(content: bytes, kind: str) -> Any:
    if not content:
        return None
    if kind == "application/x-www-form-urlencoded":
        return dict(parse_qsl(content.decode("utf-8", "replace")))
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return None


def _bearer(call: Call) -> str:
    return call.headers.get("Authorization", "")


def _end_to_end(headers: Any) -> dict[str, str]:
    named = {str(name): str(value) for name, value in headers.items()}
    return {name: value for name, value in named.items() if name.lower() not in _OF_A_CONNECTION}


def _response(reply: Reply) -> web.Response:
    if reply.body is None:
        return web.Response(status=reply.status, headers=reply.headers)
    return web.json_response(reply.body, status=reply.status, headers=reply.headers)


def _blob_response(reply: Reply) -> web.Response:
    """A refusal as blob storage writes it."""
    document = ET.Element("Error")
    for name in ("code", "message"):
        ET.SubElement(document, name.title()).text = reply.body["error"][name]
    text = ET.tostring(document, "unicode", xml_declaration=True)
    kind = "application/xml"
    return web.Response(status=reply.status, headers=reply.headers, text=text, content_type=kind)
