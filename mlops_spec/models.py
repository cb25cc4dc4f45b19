"""`models` and `rollback`: what is registered, as documents that are printed, and the way back."""

from __future__ import annotations

import json
import shlex
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops_spec import card as cards
from mlops_spec import model_view, registries, registry, signing, verification
from mlops_spec.errors import ExitCode, MlopsError, Problem, SpecError, StateError, suggest
from mlops_spec.facts import MODELS
from mlops_spec.origins import COMMAND_LINE
from mlops_spec.redaction import harmless
from mlops_spec.spec import leaves
from mlops_spec.verification import Expected
from mlops_spec.view import echo

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from mlops_spec.registry import Registry, Shelf, Version
    from mlops_spec.spec import Spec
    from mlops_spec.view import Style

Document = dict[str, Any]

_COMPARE, _VERIFY, _KEY = "compare", "verify", "key"


def place_of(spec: Spec) -> Registry:
    """The registry of a spec's workspace."""
    return registries.of(spec, MODELS)


def show(spec: Spec, words: Sequence[str], style: Style) -> ExitCode:
    """Prints all models, one of them, one version, or two versions side by side.

    Args:
        spec: Its workspace is where they are registered.
        words: Nothing, `NAME`, `NAME/VERSION`, `compare` and two of the latter, `verify` and one of
            them or a folder, or `key` and a file.
        style: How to print.

    Raises:
        SpecError: The words name nothing that is there.
    """
    if words[:1] == [_KEY]:
        return _make_key(words[1:], style)
    if words[:1] == [_VERIFY]:
        return _verify(spec, words[1:], style)
    place = place_of(spec)
    if not words:
        models = [_summary(place, name) for name in place.names()]
        _print(models, model_view.models(models, style), style)
    elif words[0] == _COMPARE:
        _show_comparison(place, words[1:], style)
    elif len(words) > 1:
        what = f"models looks at one; for two: models {_COMPARE} NAME/VERSION NAME/VERSION"
        raise _wrong(words[1], what)
    elif "/" in words[0]:
        document = _inspected(words[0], _version(place, words[0]))
        _print([document], model_view.version(document, style), style)
    else:
        document = _model(place, words[0])
        _print([document], model_view.model(document, style), style)
    return ExitCode.DONE


def _show_comparison(place: Registry, words: Sequence[str], style: Style) -> None:
    if len(words) != 2:  # noqa: PLR2004 - what comparing means
        what = "takes two versions: models compare NAME/VERSION NAME/VERSION"
        raise _wrong(_COMPARE, what)
    document = _comparison(words, [_version(place, word) for word in words])
    _print([document], model_view.comparison(document, style), style)


def _make_key(words: Sequence[str], style: Style) -> ExitCode:
    """Makes a pair of keys and prints the public one; nobody sees the other."""
    if len(words) != 1:
        raise _wrong(_KEY, "takes the file for the private key: models key FILE")
    public = signing.make(Path(words[0]))
    lines = [public] if style.quiet else model_view.key(words[0], public)
    _print([{"private": words[0], "public_key": public}], lines, style)
    return ExitCode.DONE


def _verify(spec: Spec, words: Sequence[str], style: Style) -> ExitCode:
    """Says whether a bundle is what was registered, and who signed that; a line a problem."""
    if len(words) != 1:
        raise _wrong(_VERIFY, "takes one bundle: models verify FOLDER or NAME/VERSION")
    trusted = spec.lineage.trusted_key
    folder, expected = _bundle(spec, words[0])
    found = verification.check(folder, replace(expected, trusted_key=trusted))
    document = {
        "bundle": str(folder),
        "intact": not found.problems,
        "signed_by": found.signer or None,
        "trusted_key": signing.text_of(signing.public_key(trusted)) if trusted else None,
        "problems": list(found.problems),
        "lineage": found.lineage.model_dump(mode="json") if found.lineage else None,
    }
    _print([document], model_view.verified(document, style), style)
    return ExitCode.STEP_FAILED if found.problems else ExitCode.DONE


def _bundle(spec: Spec, word: str) -> tuple[Path, Expected]:
    """The folder that a word names, and what should be in it: a version, or any folder."""
    name, _, number = word.partition("/")
    if number.isdecimal():
        place = place_of(spec)
        if _is_ours(place.versions(name)) or not Path(word).is_dir():
            version = _version(place, word)
            if not version.path:
                raise _wrong(word, registry.damage(version))
            return Path(version.path), Expected(model=name, digest=version.digest)
    if not Path(word).is_dir():
        raise _wrong(word, "no such folder; a registered model is NAME/VERSION")
    return Path(word), Expected()


def _print(documents: Iterable[Document], lines: Iterable[str], style: Style) -> None:
    made = (_one_line(json.dumps(one, ensure_ascii=False)) for one in documents)
    for line in made if style.json else lines:
        echo(line)


def _one_line(text: str) -> str:
    """The same JSON without characters that a terminal would obey."""
    return "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in text)


def _wrong(word: str, message: str) -> SpecError:
    return SpecError([Problem(COMMAND_LINE, word, harmless(message))])


def _known(place: Registry, name: str) -> Shelf:
    """What is known of a model.

    Raises:
        SpecError: There is no such model.
    """
    shelf = place.look(name)
    if not _is_ours(shelf.versions):
        known = place.names()
        listed = f" (known: {', '.join(known)})" if known else ": nothing is registered here yet"
        raise _wrong(name, f"no such registered model{suggest(name, known)}{listed}")
    return shelf


def _is_ours(versions: Iterable[Version]) -> bool:
    return any(one.digest for one in versions)


def _version(place: Registry, word: str) -> Version:
    """The version that `NAME/VERSION` names, with its bundle here."""
    name, _, number = word.partition("/")
    versions = _known(place, name).versions
    found = next((one for one in versions if str(one.version) == number), None)
    if found is None:
        listed = ", ".join(f"{name}/{one.version}" for one in versions)
        raise _wrong(word, f"no such version (known: {listed})")
    place.fetch(name, found)
    return found


def _summary(place: Registry, name: str) -> Document:
    """A model among others."""
    versions = place.versions(name)
    now = registry.champion(versions)
    return {
        "model": name,
        "versions": len(versions),
        "champion": now.version if now else None,
        "metrics": dict(now.metrics) if now else {},
        "created": max((one.created for one in versions), default=""),
        "damage": _damage(now) if now else "",
    }


def _model(place: Registry, name: str) -> Document:
    """A model with all its versions and the moves of its champion."""
    shelf = _known(place, name)
    versions = [_document(one) for one in shelf.versions]
    history = [asdict(move) for move in shelf.moves]
    return {"model": name, "versions": versions, "history": history}


def _document(version: Version) -> Document:
    damage = _damage(version)
    return {**asdict(version), "intact": not damage, "damage": damage}


def _damage(version: Version) -> str:
    """What is wrong with a bundle; nothing with one that only waits to be fetched."""
    waits = version.intact and version.path and not Path(version.path).exists()
    return "" if waits else registry.damage(version)


def _inspected(word: str, version: Version) -> Document:
    """All about a version, with the card of its bundle but for the golden inputs."""
    card = _card(version)
    model = word.partition("/")[0]
    return {"model": model, **_document(version), "card": card, **_lineage(model, version)}


def _lineage(model: str, version: Version) -> Document:
    """Where a version comes from, who signed that, and what is wrong with it."""
    if not version.path:
        return {"lineage": None, "signed_by": None, "lineage_problems": [registry.damage(version)]}
    expected = Expected(model=model, digest=version.digest)
    try:
        found = verification.check(Path(version.path), expected)
    except MlopsError as error:  # nothing here can check its signature
        found = verification.Checked(None, "", (f"{error.message}: {error.cure}",))
    said = found.lineage.model_dump(mode="json") if found.lineage else None
    return {
        "lineage": said,
        "signed_by": found.signer or None,
        "lineage_problems": list(found.problems),
    }


def _card(version: Version) -> Document | None:
    """A version's card as JSON values; None when it can not be read, which `damage` says."""
    try:
        card = cards.read(Path(version.path) / cards.FILE)
    except (OSError, MlopsError):
        return None
    return card.model_dump(mode="json", exclude={"golden", "digests"})


def _comparison(words: Sequence[str], versions: Sequence[Version]) -> Document:
    """Two versions: all metrics, and what differs between their cards."""
    cards = [_card(version) for version in versions]
    document: Document = {
        "versions": list(words),
        "metrics": _side_by_side([version.metrics for version in versions]),
        "unreadable": [word for word, card in zip(words, cards, strict=True) if card is None],
    }
    readable = [card for card in cards if card is not None]
    if len(readable) == len(cards):
        parts: dict[str, Callable[[Document], Document]] = {
            "data": lambda card: {k: card[k] for k in ("data_digest", "labels")},
            "spec": lambda card: dict(leaves(card["spec"])),
            "libraries": lambda card: card["versions"],
        }
        for name, part in parts.items():
            pairs = _side_by_side([part(card) for card in readable])
            document[name] = {key: pair for key, pair in pairs.items() if pair[0] != pair[1]}
    return document


def _side_by_side(columns: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    keys = dict.fromkeys(key for column in columns for key in column)
    return {key: [column.get(key) for column in columns] for key in keys}


def rollback(spec: Spec, overrides: Sequence[str], style: Style) -> ExitCode:
    """Makes the champion before champion again and says so.

    Raises:
        StateError: There is none, or its bundle is not what it was.
    """
    place, name = place_of(spec), spec.registered_model
    if not _is_ours(place.versions(name)):
        message = harmless(f"nothing is registered as {name}{suggest(name, place.names())}")
        raise StateError(message, "see what is: python -m mlops_spec models")
    move = place.rollback(name)
    if style.json:
        echo(json.dumps({"event": "rollback", "model": name, **asdict(move)}))
        return ExitCode.DONE
    instead = f" instead of version {move.before}" if move.before else ""
    echo(f"{name}: version {move.after} is champion again{instead}")
    if not style.quiet:
        words = " ".join(shlex.quote(word) for word in overrides)
        echo("next:")
        echo(f"  python -m mlops_spec plan {words}    # what the next run does: a target follows")
        where = " ".join(shlex.quote(word) for word in overrides if word.startswith("workspace"))
        shown = f"{name} {where}" if where else name
        echo(f"  python -m mlops_spec models {shown}    # its versions, and who was champion when")
    return ExitCode.DONE
