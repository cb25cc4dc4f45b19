"""`services`: what runs from this folder, what it says in its logs, and how to end it."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops_spec import addresses, pages, service_view, stopping
from mlops_spec.errors import ExitCode, MlopsError, Problem, SpecError, StateError, suggest
from mlops_spec.origins import COMMAND_LINE
from mlops_spec.view import echo

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from mlops_spec.addresses import Address, Place
    from mlops_spec.stopping import Ended
    from mlops_spec.view import Style

_LOGS, _STOP = "logs", "stop"
_MOST = 2  # words after either


def run(words: Sequence[str], style: Style) -> ExitCode:
    """Lists what runs, shows logs, or ends it.

    Args:
        words: Nothing; `logs ADDRESS [DEPLOYMENT]`; `stop [ADDRESS [DEPLOYMENT]]`.
        style: How to print.

    Raises:
        SpecError: The words name nothing that is there.
        StateError: Something that should end did not, or must not.
    """
    verb, *rest = words or [""]
    if not verb:
        found = addresses.look()
        _print(map(_document, found), service_view.addresses(found, style), style)
    elif verb not in (_LOGS, _STOP):
        raise _wrong(verb, f"services takes {_LOGS} or {_STOP}{suggest(verb, (_LOGS, _STOP))}")
    elif len(rest) > _MOST:
        raise _wrong(rest[_MOST], f"services {verb} takes an address and a deployment, no more")
    elif verb == _STOP:
        _stop(rest, style)
    elif not rest:
        raise _wrong(verb, f"takes an address: services {verb} PORT{_known(addresses.places())}")
    else:
        _show_logs(rest[0], rest[1:], style)
    return ExitCode.DONE


def _document(found: Address) -> dict[str, Any]:
    url = f"http://{found.place}/"
    return {"address": str(found.place), "url": url, **asdict(found.place), **_rest(found)}


def _rest(found: Address) -> dict[str, Any]:
    document = asdict(found)
    del document["place"]
    return document


def _print(documents: Iterable[Any], lines: Iterable[str], style: Style) -> None:
    """Escapes whatever is not ASCII in JSON: no terminal obeys it, and nothing is lost."""
    for line in map(json.dumps, documents) if style.json else lines:
        echo(line)


def _wrong(word: str, message: str) -> SpecError:
    return SpecError([Problem(COMMAND_LINE, word, message)])


def _known(places: Sequence[Place]) -> str:
    listed = ", ".join(dict.fromkeys(map(str, places)))
    return f" (known: {listed})" if listed else f": {service_view.NOTHING}"


def _chosen(word: str) -> list[Place]:
    """What there is at the address that a word names: HOST:PORT, PORT, or a URL.

    Raises:
        SpecError: Nothing is, or a port is of several addresses.
    """
    address = re.sub(r"^https?://|/.*", "", word)
    known = addresses.places()
    found = [place for place in known if address in (str(place.port), str(place))]
    if not found:
        raise _wrong(word, f"no such address{_known(known)}")
    if len({place.host for place in found}) > 1:
        raise _wrong(word, f"several addresses have this port{_known(found)}")
    return found


def _show_logs(word: str, names: Sequence[str], style: Style) -> None:
    found = {name: path for place in _chosen(word) for name, path in _logs(place)}
    for name in names:
        if name not in found:
            known = f" (known: {', '.join(found)})" if found else ": nothing was logged there"
            raise _wrong(name, f"no such log at {word}{suggest(name, found)}{known}")
    for name, path in found.items():
        if not names or name in names:
            lines = service_view.last(path)
            document = {"name": name, "log": str(path), "lines": lines}
            _print([document], service_view.log(name, path, lines, style), style)


def _logs(place: Place) -> Iterator[tuple[str, Path]]:
    """Names of deployments, of the router or the page, and their logs."""
    if place.kind == "service":
        yield from ((path.stem, path) for path in sorted(place.logs.glob("*.log")))
        return
    page = pages.read(place.file)
    if page and Path(page.log).is_file():
        yield "page", Path(page.log)


def _stop(words: Sequence[str], style: Style) -> None:
    """Ends what the words name, and tells of each process at once."""
    places = _chosen(words[0]) if words else addresses.places()
    count, errors = 0, []
    for place in sorted(places, key=lambda place: place.kind):  # pages, which ask services, first
        try:
            with stopping.alone(place, lambda text: echo(text, sys.stderr)):
                for one in _to_end(place, words[1:]):
                    count += 1
                    lines = [] if style.quiet else service_view.ended([one])
                    _print([{"event": "ended", **asdict(one)}], lines, style)
        except SpecError:
            raise
        except MlopsError as error:
            errors.append(error)
    if len(errors) == 1:
        raise errors[0]
    if errors:
        raise StateError("\n".join(map(str, errors)))
    if not count and not style.json and not style.quiet:
        where = f" at {words[0]}" if words else " from this folder"
        echo(f"nothing runs{where}")


def _to_end(place: Place, names: Sequence[str]) -> Iterator[Ended]:
    return stopping.one(place, names[0]) if names else stopping.everything(place)
