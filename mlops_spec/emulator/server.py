"""The emulator's life: everything is started, in order, and everything ends with it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import socket
from typing import TYPE_CHECKING, Any

from mlops_spec import files
from mlops_spec.emulator import authority, azurite, ending, identity, proxy, sas, settings, tables
from mlops_spec.emulator.activity import Activity
from mlops_spec.emulator.bench import Bench
from mlops_spec.emulator.blobs import Blobs
from mlops_spec.emulator.faults import Fault, Faults
from mlops_spec.emulator.recorder import FILE as TRAFFIC
from mlops_spec.emulator.recorder import Recorder
from mlops_spec.emulator.runs import Runner
from mlops_spec.emulator.store import Store
from mlops_spec.emulator.told import Address
from mlops_spec.emulator.world import World
from mlops_spec.errors import StateError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    from aiohttp import web

    from mlops_spec.emulator.settings import Settings

_ACCOUNT = "mlopsemulator"
_log = logging.getLogger(__name__)


async def serve(wanted: Settings) -> None:
    """Runs until it is told to end.

    Raises:
        StateError: Another one has the state folder, or the blob storage can not run.
    """
    wanted.state.mkdir(parents=True, exist_ok=True, mode=0o700)
    with ending.alone(wanted.state):
        program = azurite.install(wanted.azurite)
        end = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, end.set)
        activity = Activity()
        async with _running(wanted, program, activity) as storage:
            gone = asyncio.create_task(storage.ended())
            told = asyncio.create_task(end.wait())
            rested = asyncio.create_task(activity.rest(wanted.idle))
            await asyncio.wait((gone, told, rested), return_when=asyncio.FIRST_COMPLETED)
            told.cancel()
            rested.cancel()
            if gone.done() and not end.is_set():
                raise StateError("Azurite, the blob storage, has ended by itself")
            if not end.is_set():
                _log.info("nobody has needed it for %g s: it ends", wanted.idle)


def _secrets(state: Path) -> dict[str, Any]:
    """The secrets of a state folder, made on first use: tokens and signatures stay valid."""
    path = state / "secrets.json"
    if not path.exists():
        made = {"client": identity.new_secret(), "storage": sas.new_key()}
        files.write_json(path, made, mode=0o600)
    return files.read_json(path)


@contextlib.asynccontextmanager
async def _running(
    wanted: Settings, program: Path, activity: Activity
) -> AsyncIterator[azurite.Azurite]:
    from aiohttp import ClientSession, ClientTimeout

    secrets = _secrets(wanted.state)
    account = sas.Account(_ACCOUNT, secrets["storage"])
    async with contextlib.AsyncExitStack() as stack:
        store = Store(wanted.state / "state.sqlite")
        stack.callback(store.close)
        folder = wanted.state / "blobs"
        stores = {name: sas.Account(name, account.key) for name, _ in wanted.containers}
        known = dict.fromkeys((account.name, *stores), account.key)
        storage = await azurite.start(program, folder, known)
        stack.push_async_callback(storage.stop)
        session = ClientSession(auto_decompress=False, timeout=ClientTimeout(total=None))
        await stack.enter_async_context(session)
        blobs = Blobs(session, account, storage.port)
        faults = Faults()
        slots = asyncio.Semaphore(wanted.parallel)
        who, listener = identity.Identity(secrets["client"]), _socket()
        certificate = str((wanted.state / authority.FILE).resolve())
        told = Address(listener.getsockname()[1], certificate, who)
        jobs = wanted.state / "jobs"
        runner = Runner(Bench(store, blobs, faults, activity, jobs, slots, told.variables))
        stack.push_async_callback(runner.stop)
        world = World(store, blobs, who, faults, runner, activity)
        for workspace in wanted.workspaces:
            await tables.make_workspace(world, workspace)
        for name, container in wanted.containers:
            await Blobs(session, stores[name], storage.port).make_container(container)
        port = await _listen(stack, wanted, world, (account, *stores.values()), listener)
        control = await _control(stack, world)
        _announce(wanted, world, port, control)
        stack.callback((wanted.state / settings.FILE).unlink, missing_ok=True)
        yield storage


async def _listen(
    stack: contextlib.AsyncExitStack,
    wanted: Settings,
    world: World,
    accounts: Sequence[sas.Account],
    listener: socket.socket,
) -> int:
    """The TLS server and the proxy that leads there."""
    from aiohttp import web

    from mlops_spec.emulator.front import Front

    recorder = Recorder(wanted.state / TRAFFIC if wanted.record else None)
    front = Front(world, tables.ROUTES, accounts, recorder)
    context = authority.server_context(authority.load(wanted.state))
    runner = web.ServerRunner(web.Server(front, access_log=None))
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    await web.SockSite(runner, listener, ssl_context=context, shutdown_timeout=1).start()
    way_in = await proxy.start(front.is_emulated, listener.getsockname()[1], wanted.port)
    stack.callback(way_in.close)
    return int(way_in.sockets[0].getsockname()[1])


def _socket() -> socket.socket:
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    return listener


async def _control(stack: contextlib.AsyncExitStack, world: World) -> int:
    """Where faults are asked for: PUT /faults with a JSON list, the secret as bearer."""
    from aiohttp import web
    from pydantic import TypeAdapter, ValidationError

    async def answer(request: web.Request) -> web.Response:
        with world.activity.work():
            return await answered(request)

    async def answered(request: web.Request) -> web.Response:
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        if scheme != "Bearer" or not world.identity.is_secret(given):
            return web.json_response({"error": "the client secret is missing"}, status=401)
        if request.method == "PUT":
            try:
                asked = TypeAdapter(list[Fault]).validate_json(await request.read())
            except ValidationError as error:
                problems = error.errors(include_url=False, include_context=False)
                return web.json_response(
                    {"error": json.loads(json.dumps(problems, default=str))}, status=400
                )
            world.faults.replace(asked)
        return web.json_response([fault.model_dump() for fault in world.faults.waiting])

    app = web.Application()
    app.router.add_route("*", "/faults", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    listener = _socket()
    await web.SockSite(runner, listener, shutdown_timeout=1).start()
    return int(listener.getsockname()[1])


def _announce(wanted: Settings, world: World, port: int, control: int) -> None:
    """Writes what clients must know, when everything answers."""
    document = {
        "pid": os.getpid(),
        "proxy": f"http://127.0.0.1:{port}",
        "ca": str((wanted.state / authority.FILE).resolve()),
        "control": f"http://127.0.0.1:{control}/faults",
        "environment": settings.environment(wanted.state, port, world.identity.secret),
    }
    files.write_json(wanted.state / settings.FILE, document, mode=0o600)
