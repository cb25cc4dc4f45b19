"""The command line: `python -m mlops_spec.emulator [env | stop | fault] --state DIR ...`."""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import json
import logging
import math
import os
import re
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops_spec.emulator import ending, settings, workspaces
from mlops_spec.errors import ExitCode, MlopsError, StateError

if TYPE_CHECKING:
    from collections.abc import Sequence


_CONTAINER = re.compile(r"([a-z0-9]{3,24})/([a-z0-9](?:-?[a-z0-9]){2,62})")
_STATE = "MLOPS_SPEC_EMULATOR"


def main(words: Sequence[str]) -> int:
    """Does what a command line asks; its exit code."""
    arguments = _parser().parse_args(words)
    try:
        arguments.does(arguments)
    except MlopsError as error:
        sys.stderr.write(f"{error}\n")
        return int(error.exit_code)
    return int(ExitCode.DONE)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m mlops_spec.emulator", description=__doc__)
    verbs = parser.add_subparsers(metavar="serve|env|stop|fault")
    serve = verbs.add_parser("serve", help="run until told to end (also without a verb)")
    env = verbs.add_parser("env", help="print what sends a process here, as `export` lines")
    stop = verbs.add_parser("stop", help="end the one that runs, and wait until it has ended")
    fault = verbs.add_parser("fault", help="ask for faults: a JSON list, or @FILE with one")
    for verb, does in ((serve, _serve), (env, _env), (stop, _stop), (fault, _fault)):
        verb.set_defaults(does=does)
        verb.add_argument("--state", type=Path, required=True, help="the emulator's folder")
    serve.add_argument("--port", type=int, default=0, help="of the proxy; 0 for any")
    names = "SUBSCRIPTION/GROUP/NAME"
    serve.add_argument("--workspace", action="append", default=[], metavar=names)
    kept = "a place for blobs, such as Terraform's state, for who has a token"
    serve.add_argument(
        "--container", action="append", default=[], metavar="ACCOUNT/NAME", help=kept
    )
    serve.add_argument("--record", action="store_true", help="write every exchange down")
    serve.add_argument("--parallel", type=int, default=1, help="jobs at a time")
    idle = "end after so many seconds without a request or a job; 0 for never"
    serve.add_argument("--idle", type=_seconds, default=0.0, metavar="SECONDS", help=idle)
    serve.add_argument("--azurite", type=Path, help="where it is installed on first use")
    fault.add_argument("faults", help='such as [{"kind": "throttle", "on": "PUT *"}]; [] for none')
    return parser


def _serve(arguments: argparse.Namespace) -> None:
    for library in ("aiohttp", "trustme"):
        if importlib.util.find_spec(library) is None:
            cure = "python -m pip install 'mlops_spec[emulator]'"
            raise StateError(f"the library {library} is not installed", cure)
    from mlops_spec.emulator.server import serve

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    found = tuple(_workspace(text) for text in arguments.workspace)
    state = arguments.state.resolve()  # jobs run elsewhere
    os.environ[_STATE] = str(state)  # and find the emulator by this
    wanted = settings.Settings(
        state,
        arguments.port,
        found,
        tuple(_container(text) for text in arguments.container),
        arguments.record,
        arguments.parallel,
        arguments.azurite or _cache() / "azurite",
        arguments.idle,
    )
    asyncio.run(serve(wanted))


def _seconds(text: str) -> float:
    found = float(text)
    if not 0 <= found < math.inf:
        raise ValueError
    return found


def _cache() -> Path:
    """Where what can be installed again is kept, for every emulator of a person."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "mlops_spec"


def _workspace(text: str) -> workspaces.Workspace:
    found = workspaces.parse(text)
    if found is None:
        raise StateError(f"no workspace: {text}", "write SUBSCRIPTION/GROUP/NAME")
    return found


def _container(text: str) -> tuple[str, str]:
    found = _CONTAINER.fullmatch(text)
    if found is None:
        raise StateError(f"no container: {text}", "write ACCOUNT/NAME, as Azure allows them")
    return found[1], found[2]


def _env(arguments: argparse.Namespace) -> None:
    for name, value in settings.read(arguments.state)["environment"].items():
        sys.stdout.write(f"export {name}={shlex.quote(value)}\n")


def _stop(arguments: argparse.Namespace) -> None:
    pid = ending.stop(arguments.state)
    what = f"ended the emulator of {arguments.state}, process {pid}"
    sys.stdout.write(f"{what if pid else f'no emulator is running on {arguments.state}'}\n")


def _fault(arguments: argparse.Namespace) -> None:
    from urllib.error import HTTPError
    from urllib.request import ProxyHandler, Request, build_opener

    text = arguments.faults
    content = Path(text[1:]).read_text("utf-8") if text.startswith("@") else text
    running = settings.read(arguments.state)
    secret = running["environment"]["AZURE_CLIENT_SECRET"]
    headers = {"Authorization": f"Bearer {secret}", "Content-Type": "application/json"}
    asked = Request(running["control"], content.encode(), headers, method="PUT")  # noqa: S310
    try:
        with build_opener(ProxyHandler({})).open(asked) as answer:
            _say(json.load(answer))
    except HTTPError as error:
        problems = json.load(error)["error"]
        raise StateError(
            f"these faults were refused: {problems}", "see docs/emulator.md"
        ) from error


def _say(document: Any) -> None:
    sys.stdout.write(json.dumps(document, indent=2) + "\n")


if __name__ == "__main__":
    given = sys.argv[1:]
    sys.exit(main(given if given[:1] and not given[0].startswith("--") else ["serve", *given]))
