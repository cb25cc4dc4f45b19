"""Blob storage is Azurite, Microsoft's own emulator: installed by npm on first use, then run."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from mlops_spec.errors import StateError

if TYPE_CHECKING:
    from collections.abc import Mapping

VERSION = "3.35.0"
_LISTENS = re.compile(rb"listens on http://127\.0\.0\.1:(\d+)")
_START_SECONDS = 60
_STOP_SECONDS = 10
# Ends with whoever started it, also when that was killed: its standard input ends then
_LEASH = """
process.stdin.on('end', () => process.kill(process.pid, 'SIGTERM')).resume();
process.stdin.unref?.(); // no reason to go on when all else is done
"""


def install(folder: Path) -> Path:
    """The program, installed into a folder on first use.

    Raises:
        StateError: Node or npm is missing, or the installation failed.
    """
    from filelock import FileLock

    program = Path("node_modules/azurite/dist/src/blob/main.js")
    home = folder / VERSION
    for tool in ("node", "npm"):
        if shutil.which(tool) is None:
            message = f"{tool} is not here; blob storage is emulated by Azurite, a Node program"
            cure = "install Node 18 or newer with npm (Debian: apt-get install npm), then try again"
            raise StateError(message, cure)
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / "install.lock"):
        if not (home / program).exists():
            _install(home)
    return home / program


def _install(home: Path) -> None:
    with tempfile.TemporaryDirectory(dir=home.parent) as temporary:
        words = ["npm", "install", "--no-audit", "--no-fund", "--prefix", temporary]
        done = subprocess.run(  # noqa: S603 - a fixed command line
            [*words, f"azurite@{VERSION}"], capture_output=True, text=True, check=False
        )
        if done.returncode:
            last = " ".join(done.stderr.split()[-40:])
            message = f"npm could not install azurite {VERSION}: {last}"
            raise StateError(message, "see that npm reaches its registry, then try again")
        shutil.rmtree(home, ignore_errors=True)
        shutil.copytree(temporary, home, symlinks=True)


async def start(program: Path, folder: Path, accounts: Mapping[str, str]) -> Azurite:
    """Starts it on a free port of loopback.

    Args:
        program: What `install` gave.
        folder: Where it keeps its blobs, and its log.
        accounts: Keys by name.

    Raises:
        StateError: It ended, or did not start in time.
    """
    leash = _leash(folder)
    known = ";".join(f"{name}:{key}" for name, key in accounts.items())
    words = ["-r", str(leash.resolve()), str(program), "--blobHost", "127.0.0.1", "--blobPort", "0"]
    words += ["--location", str(folder / "data"), "--skipApiVersionCheck", "--disableTelemetry"]
    with (folder / "azurite.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            "node",
            *words,
            "--silent",
            stdin=asyncio.subprocess.PIPE,
            stdout=log,
            stderr=log,
            env={**os.environ, "AZURITE_ACCOUNTS": known},
            start_new_session=True,  # a Ctrl-C is for the emulator, which then ends it
        )
    azurite = Azurite(process)
    try:
        async with asyncio.timeout(_START_SECONDS):
            azurite.port = await _port(process, folder / "azurite.log")
    except (TimeoutError, EOFError) as error:
        await azurite.stop()
        message = "Azurite, the blob storage, did not start"
        raise StateError(message, f"see {folder / 'azurite.log'}") from error
    return azurite


def _leash(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "leash.js"
    path.write_text(_LEASH, "utf-8")
    return path


async def _port(process: asyncio.subprocess.Process, log: Path) -> int:
    while process.returncode is None:
        if match := _LISTENS.search(await asyncio.to_thread(log.read_bytes)):
            return int(match[1])
        await asyncio.sleep(0.05)
    raise EOFError


class Azurite:
    """The running program."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.port = 0

    @property
    def pid(self) -> int:
        """Its process."""
        return self._process.pid

    async def ended(self) -> int:
        """Waits until it has ended by itself."""
        return await self._process.wait()

    async def stop(self) -> None:
        """Lets it write what it has, then ends it."""
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()
        try:
            async with asyncio.timeout(_STOP_SECONDS):
                await self._process.wait()
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()
