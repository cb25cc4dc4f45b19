"""Where every value of a spec was written: YAML with lines, and Hydra's composition over it.

Hydra decides which files make up a configuration and in which order (its defaults lists and its
override grammar); the merge is done here, because only then the file and line of every key, and
what each shadowed, are known.
"""

from __future__ import annotations

import copy
import itertools
import re
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from omegaconf._utils import get_yaml_loader  # the one thing of OmegaConf's that is not public

from mlops_spec.errors import Problem, SpecError

if TYPE_CHECKING:
    from collections.abc import Iterator

COMMAND_LINE = "command line"
_MOST_NODES = 10_000  # of one file; nested aliases could otherwise grow without bound
_DEEPEST = 50  # mappings and lists inside each other
_LONGEST = 80  # characters quoted from the YAML library


@dataclass(frozen=True)
class Setting:
    """One writing of a key: its value and `file:line` or `command line`."""

    value: Any
    where: str


# dotted key -> every place that set it, the one in force last
Origins = dict[str, list[Setting]]


@dataclass
class Layer:
    """Values being merged, with the origin of every key."""

    values: dict[str, Any] = field(default_factory=dict)
    origins: Origins = field(default_factory=dict)

    def merge(self, values: dict[str, Any], origins: Origins) -> None:
        """Lays values over those present: mappings merge, all else is replaced.

        As in Hydra, `???` (to be set) does not take away a value that is set already.
        """
        for key, value in values.items():
            _merge(self.values, key, value)
        for key, settings in origins.items():
            known = self.origins.setdefault(key, [])
            known += [setting for setting in settings if setting.value != "???" or not known]

    def put(self, key: str, value: object, where: str) -> None:
        """Sets one dotted key, which may name an item of a list by its index.

        Raises:
            KeyError: What is around it is no section; carries its key.
        """
        *parents, leaf = key.split(".")
        node: Any = self.values
        for depth, name in enumerate(parents):
            inner = node.setdefault(name, {})
            if isinstance(inner, list) and depth == len(parents) - 1 and leaf in _indices(inner):
                inner[int(leaf)] = value
                self._note(key.rpartition(".")[0], inner, where)
                return
            if not isinstance(inner, dict):
                raise KeyError(".".join(parents[: depth + 1]))
            node = inner
        _merge(node, leaf, value)
        self._note(key, value, where)

    def drop(self, key: str, where: str = COMMAND_LINE) -> bool:
        """Removes one dotted key; False when it is not there."""
        *parents, leaf = key.split(".")
        node: Any = self.values
        for name in parents:
            node = node.get(name) if isinstance(node, dict) else None
        if not isinstance(node, dict) or leaf not in node:
            return False
        del node[leaf]
        self._note(key, None, where)
        return True

    def _note(self, key: str, value: object, where: str) -> None:
        """Notes an origin: of a key, and of all that is in its value."""
        self.origins.setdefault(key, []).append(Setting(value, where))
        for name, inner in value.items() if isinstance(value, dict) else ():
            self._note(f"{key}.{name}", inner, where)

    def copy(self) -> Layer:
        """An independent copy, cheap enough for each member of a sweep."""
        origins = {key: list(settings) for key, settings in self.origins.items()}
        return Layer(copy.deepcopy(self.values), origins)


def _merge(into: dict[str, Any], key: str, value: object) -> None:
    if isinstance(value, dict) and isinstance(into.get(key), dict):
        for inner, inner_value in value.items():
            _merge(into[key], inner, inner_value)
    elif value != "???" or key not in into:
        into[key] = copy.deepcopy(value)


def _indices(values: list[Any]) -> set[str]:
    return {str(i) for i in range(len(values))}


def where_is(origins: Origins, key: str) -> str:
    """Where a key, or else what is in it or around it, was written."""
    while key:
        within = (other for other in origins if other.startswith(f"{key}."))
        found = key if key in origins else next(within, None)
        if found is not None:
            return origins[found][-1].where
        key = key.rpartition(".")[0]
    return ""


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Safe YAML that reads every word as OmegaConf does: `1e-3` is a number, a date is text."""

    yaml_implicit_resolvers = get_yaml_loader().yaml_implicit_resolvers


@dataclass(frozen=True)
class YamlFile:
    """A parsed YAML mapping: its values and the line of every dotted key."""

    values: dict[str, Any]
    lines: dict[str, int]


def read_yaml(path: Path) -> YamlFile:
    """Parses a YAML file of our configuration.

    Raises:
        SpecError: It is no valid YAML mapping; one problem with its line.
    """
    return _read_yaml(path, path.stat().st_mtime_ns)


@cache
def _read_yaml(path: Path, _mtime_ns: int) -> YamlFile:
    try:
        loader = _Loader(path.read_text("utf-8"))
        try:
            node = loader.get_single_node()
            lines = _lines(node)
            values = loader.construct_document(node) if node else None
        finally:
            loader.dispose()
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise SpecError([_syntax_problem(path, error)]) from error
    if values is not None and not isinstance(values, dict):
        problem = Problem(f"{display(path)}:1", "", "should hold `key: value` lines")
        raise SpecError([problem])
    return YamlFile(values or {}, lines)


def _lines(root: yaml.Node | None) -> dict[str, int]:
    """The line of every dotted key, and of each entry of a defaults list.

    Raises:
        yaml.MarkedYAMLError: A key is written twice, or aliases grow without bound.
    """
    lines: dict[str, int] = {}
    pending = [("", root)] if root else []
    for visited in itertools.count():
        if not pending:
            return lines
        prefix, node = pending.pop()
        if visited > _MOST_NODES or prefix.count(".") > _DEEPEST:
            problem = "too large: aliases that multiply, or contain themselves?"
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=node.start_mark)
        if isinstance(node, yaml.MappingNode):
            pending += _inside_mapping(node, prefix, lines)
        elif isinstance(node, yaml.SequenceNode):
            names = [f"{prefix}{i}" for i in range(len(node.value))]
            if prefix == "defaults.":
                lines |= {n: v.start_mark.line + 1 for n, v in zip(names, node.value, strict=True)}
            pending += [(f"{n}.", value) for n, value in zip(names, node.value, strict=True)]
    raise AssertionError  # pragma: no cover - the loop above returns


def _inside_mapping(
    node: yaml.MappingNode, prefix: str, lines: dict[str, int]
) -> Iterator[tuple[str, yaml.Node]]:
    seen: set[str] = set()
    in_list = any(part.isdigit() for part in prefix.split("."))
    for key_node, value_node in node.value:
        name = str(key_node.value)
        if name in seen:
            problem = f"{prefix}{name} is written twice"
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=key_node.start_mark)
        seen.add(name)
        if name == "<<":
            continue  # what it brings in is written, and looked at, elsewhere
        if not in_list:
            lines[f"{prefix}{name}"] = key_node.start_mark.line + 1
        yield f"{prefix}{name}.", value_node


def _syntax_problem(path: Path, error: Exception) -> Problem:
    """What is wrong with a file in one line that repeats nothing of its content."""
    mark = getattr(error, "problem_mark", None)
    line = mark.line + 1 if mark else 1
    what = getattr(error, "problem", None)
    if what is None:
        what = "nested too deeply" if isinstance(error, RecursionError) else str(error)
    what = re.sub(r"(['\"]).*?\1", "...", " ".join(str(what).split()))[:_LONGEST]
    return Problem(f"{display(path)}:{line}", "", f"this is not valid YAML: {what}")


def display(path: Path) -> str:
    """A path as a person would write it: relative where that is shorter."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def file_origins(path: Path, package: str) -> tuple[dict[str, Any], Origins]:
    """A file's values under its package, and the origin of every key."""
    parsed = read_yaml(path)
    values = {key: value for key, value in parsed.values.items() if key != "defaults"}
    origins: Origins = {}
    prefix = f"{package}." if package else ""
    for key, line in parsed.lines.items():
        if key.split(".")[0] != "defaults":
            value = value_at(parsed.values, key)
            origins[prefix + key] = [Setting(value, f"{display(path)}:{line}")]
    for name in reversed(package.split(".") if package else []):
        values = {name: values}
    return values, origins


def value_at(values: dict[str, Any], key: str) -> object:
    """What stands at a dotted key; None when nothing does."""
    node: Any = values
    for name in key.split("."):
        node = node.get(name) if isinstance(node, dict) else None
    return node
