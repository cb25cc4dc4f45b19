"""What a person sees of registered models, as lines made from the documents that machines get.

Bundles and registries may come from anywhere: each view makes all that they say harmless first.
"""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from mlops_spec.redaction import harmless
from mlops_spec.spec import leaves
from mlops_spec.view import yaml_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from mlops_spec.view import Style

_SHORT, _LONG = 8, 16  # characters of a digest; so many has a folder's name
_METRICS = 2  # columns in a list
_LABELS = 12  # that are named
_GAP = "  "
_UNITS = (("day", 86400), ("hour", 3600), ("minute", 60), ("second", 1))

Row = Sequence[str]


def _plain(value: Any) -> Any:
    """A document without anything that a terminal would obey, in values as in names."""
    if isinstance(value, str):
        return harmless(value)
    if isinstance(value, dict):
        return {_plain(name): _plain(inner) for name, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, list | tuple) else value


def table(rows: Sequence[Row], right: str = "") -> Iterator[str]:
    """Rows in columns that are as wide as need be; `right` has an `r` for each number column."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (
            f"{cell:>{width}}" if right[i : i + 1] == "r" else f"{cell:<{width}}"
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        yield _GAP.join(cells).rstrip()


def _width() -> int:
    return shutil.get_terminal_size().columns


def ago(when: str) -> str:
    """How long ago a moment was, in the largest unit that fits."""
    seconds = (datetime.now(UTC) - datetime.fromisoformat(when)).total_seconds()
    for unit, length in _UNITS:
        count = int(seconds // length)
        if count > 0:
            return f"{count} {unit}{'s' if count > 1 else ''} ago"
    return "now"


def _moment(when: str) -> str:
    return when[:16].replace("T", " ") or "unknown"


def _number(value: object) -> str:
    return f"{value:.4f}" if isinstance(value, int | float) else "-"


def models(documents: Sequence[dict[str, Any]], style: Style) -> Iterator[str]:
    """All models, a line each."""
    if not documents:
        yield "no model is registered here yet; `python -m mlops_spec +experiment=NAME` makes one"
        return
    documents = _plain(documents)
    named = _metric_names(one["metrics"] for one in documents)
    head = ("model", "versions", "champion", *named, "last registered")
    rows = [head, *(_model_row(one, named) for one in documents)]
    first, *rest = table(rows, "-rr" + "r" * len(named))
    yield style.paint(first, "dim")
    for line, one in zip(rest, documents, strict=True):
        yield line
        if one["damage"]:
            yield style.paint(f"  its champion can not be used: {one['damage']}", "red")


def _model_row(one: Mapping[str, Any], named: Sequence[str]) -> Row:
    numbers = (_number(one["metrics"].get(name)) for name in named)
    champion = str(one["champion"] or "none")
    return (one["model"], str(one["versions"]), champion, *numbers, ago(one["created"]))


def _metric_names(found: Iterator[Mapping[str, float]], most: int = _METRICS) -> list[str]:
    """The first metrics that there are, in their order."""
    return list(dict.fromkeys(name for metrics in found for name in metrics))[:most]


def model(document: Mapping[str, Any], style: Style) -> Iterator[str]:
    """A model: its versions, the last one at the end, and who was champion when."""
    document = _plain(document)
    versions = document["versions"]
    champion = next((one["version"] for one in versions if one["champion"]), "none")
    count = f"{len(versions)} version{'s' if len(versions) > 1 else ''}"
    yield style.paint(f"{document['model']}: {count}, champion {champion}", "bold")
    first, *rest = _versions(versions)
    yield style.paint(first, "dim")
    for line, one in zip(rest, versions, strict=True):
        color = "red" if one["damage"] else "green" if one["champion"] else ""
        yield style.paint(line, color) if color else line
    for one in versions:
        if one["damage"]:
            yield style.paint(f"  version {one['version']}: {one['damage']}", "red")
    yield style.paint("history of the champion (UTC)", "bold")
    for move in document["history"]:
        yield from _wrapped(_told(move), 2)


def _versions(versions: Sequence[Mapping[str, Any]]) -> list[str]:
    """A table of versions, with as many metrics as the screen has room for."""
    for most in range(_METRICS, -1, -1):
        named = _metric_names((one["metrics"] for one in versions), most)
        head = ("", "version", *named, "digest", "trained", "against", "intact", "registered (UTC)")
        rows = [head, *(_version_row(one, named) for one in versions)]
        lines = [f"  {line}" for line in table(rows, "-r" + "r" * len(named) + "--r")]
        if max(map(len, lines)) <= _width():
            break
    return lines


def _version_row(one: Mapping[str, Any], named: Sequence[str]) -> Row:
    return (
        "●" if one["champion"] else "",
        str(one["version"]),
        *(_number(one["metrics"].get(name)) for name in named),
        one["digest"][:_SHORT] or "-",
        one["train"][:_SHORT] or "-",
        str(one["baseline"] or "-"),
        "no" if one["damage"] else "yes",
        _moment(one["created"]),
    )


def _told(move: Mapping[str, Any]) -> str:
    """A move in one line, however long."""
    way = f"{move['before'] or 'none'} -> {move['after'] or 'none'}"
    why = move["why"] or move["kind"]
    return f"{_moment(move['when']):<16}{_GAP}{way:<9}{_GAP}{why}"


def _wrapped(text: str, indent: int, more: int = 31) -> Iterator[str]:
    """A text in lines that fit, the later ones indented by `more`."""
    width = max(_width(), 60)
    yield from textwrap.wrap(
        text,
        width,
        initial_indent=" " * indent,
        subsequent_indent=" " * more,
        drop_whitespace=True,
        break_on_hyphens=False,
    )


def version(document: Mapping[str, Any], style: Style) -> Iterator[str]:
    """One version: where it comes from, how good it is, what it is made of."""
    document = _plain(document)
    mark = ", champion" if document["champion"] else ""
    mark = ", rolled back" if document["rolled_back"] else mark
    yield style.paint(f"{document['model']} version {document['version']}{mark}", "bold")
    card = document["card"]
    facts = {
        "registered": f"{_moment(document['created'])} UTC, {ago(document['created'])}",
        "measured against": _rival(document),
        "bundle": document["path"] or "-",
        "intact": f"no: {document['damage']}" if document["damage"] else "yes",
        "digest": document["digest"][:_LONG] or "-",
        "training step": document["train"][:_LONG] or "-",
        **(_of_card(card) if card else {}),
    }
    yield from _section("", facts, style)
    yield from _section("metrics", {k: _number(v) for k, v in document["metrics"].items()}, style)
    yield from _section("tags", document["tags"], style)
    if card:
        spec = {key: yaml_text(value) for key, value in leaves(card["spec"])}
        yield from _section("lineage", _of_lineage(document), style)
        yield from _section("spec", spec, style)
        yield from _section("libraries", card["versions"], style)


def _rival(document: Mapping[str, Any]) -> str:
    baseline = document["baseline"]
    return f"version {baseline}, the champion then" if baseline else "nobody: there was no champion"


def _of_card(card: Mapping[str, Any]) -> dict[str, str]:
    labels = card["labels"]
    more = ", ..." if len(labels) > _LABELS else ""
    how = card["preprocessing"]
    return {
        "trainer": card["trainer"],
        "data": card["data_digest"][:_LONG],
        "labels": f"{len(labels)}: {', '.join(labels[:_LABELS])}{more}",
        "input": f"{how['channels']} x {how['input_size']} x {how['input_size']}",
    }


def _of_lineage(document: Mapping[str, Any]) -> dict[str, str]:
    said, problems = document["lineage"], document["lineage_problems"]
    if said is None:
        return {"unknown": "; ".join(problems)}
    parents = said["parents"]
    weights = parents["weights"]
    facts = {
        "signed by": document["signed_by"] or "nobody",
        "gate": said["gate"]["reason"],
        "code": f"{said['code']['digest'][:_LONG]}, {len(said['code']['modules'])} modules",
        "started from": weights["source"] if weights else "chance",
    }
    return {**facts, "problems": "; ".join(problems)} if problems else facts


def verified(document: Mapping[str, Any], style: Style) -> Iterator[str]:
    """What became of checking a bundle, a line a problem."""
    document = _plain(document)
    where, signer = document["bundle"], document["signed_by"]
    if document["problems"]:
        yield style.paint(f"{where} is not to be trusted:", "red")
        yield from (f"  {problem}" for problem in document["problems"])
        return
    said = document["lineage"]
    yield style.paint(f"{where} is what was registered", "green")
    yield f"  as {said['model']}, {said['registered']}, {len(said['files'])} files"
    if signer is None:
        yield "  not signed: accidents would be seen, forgery would not"
    elif document["trusted_key"]:
        yield f"  signed by {signer}, which is lineage.trusted_key"
    else:
        yield f"  signed by {signer}; whether that is to be trusted, lineage.trusted_key says"


def key(path: str, public: str) -> Iterator[str]:
    """Where a new private key is, and the public key to give away."""
    yield f"private key: {path}, for you alone: it goes into the environment, not into YAML"
    yield f"public key: {public}"


def _section(title: str, values: Mapping[str, str], style: Style) -> Iterator[str]:
    """Keys and values in two columns under a title; nothing for no values."""
    if not values:
        return
    if title:
        yield style.paint(title, "bold")
    width = max(map(len, values))
    for key, value in values.items():
        yield from _wrapped(f"{key:<{width}}{_GAP}{value}", 2, width + 4)


def comparison(document: Mapping[str, Any], style: Style) -> Iterator[str]:
    """Two versions side by side: all metrics with their difference, and what else differs."""
    document = _plain(document)
    names = document["versions"]
    rows: list[Row] = [("", *names, "difference")]
    rows += [_metric_row(name, pair) for name, pair in document["metrics"].items()]
    first, *rest = table(rows, "-rrr")
    yield style.paint(first, "bold")
    yield from rest
    for word in document["unreadable"]:
        yield style.paint(f"the card of {word} can not be read: its spec is unknown", "red")
    titles = {"data": "other data", "spec": "other settings", "libraries": "other libraries"}
    for part, title in titles.items():
        if part not in document:
            continue
        if document[part]:
            yield style.paint(title, "bold")
            yield from _pairs(document[part])
        else:
            yield style.paint(f"the same {title.removeprefix('other ')}", "dim")


def _metric_row(name: str, pair: Sequence[float | None]) -> Row:
    one, two = pair
    difference = f"{two - one:+.4f}" if one is not None and two is not None else "-"
    return (name, _number(one), _number(two), difference)


def _pairs(pairs: Mapping[str, Sequence[Any]]) -> Iterator[str]:
    width = max(map(len, pairs))
    for key, values in pairs.items():
        shown = ["(absent)" if value is None else yaml_text(value) for value in values]
        yield from _wrapped(f"{key:<{width}}{_GAP}{' -> '.join(shown)}", 2, width + 4)
