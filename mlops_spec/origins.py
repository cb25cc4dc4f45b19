"""Where every value of a spec was written: YAML with lines, and Hydra's composition over it.

Hydra decides which files make up a configuration and in which order (its defaults lists and its
override grammar); the merge is done here, because only then the file and line of every key, and
what each shadowed, are known.
"""

from __future__ import annotations

import copy
import re
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from mlops_spec.errors import Problem, SpecError

COMMAND_LINE = "command line"
_MOST_KEYS = 10_000  # of one file; nested aliases could otherwise grow without bound


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
        """Lays values over those present: mappings merge, all else is replaced."""
        for key, value in values.items():
            self._merge(self.values, key, value)
        for key, settings in origins.items():
            self.origins.setdefault(key, []).extend(settings)

    def _merge(self, into: dict[str, Any], key: str, value: object) -> None:
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            for inner, inner_value in value.items():
                self._merge(into[key], inner, inner_value)
        else:
            into[key] = copy.deepcopy(value)

    def put(self, key: str, value: object, where: str) -> None:
        """Sets one dotted key."""
        *parents, leaf = key.split(".")
        node = self.values
        for name in parents:
            node = node.setdefault(name, {}) if isinstance(node.get(name, {}), dict) else {}
        self._merge(node, leaf, value)
        self.origins.setdefault(key, []).append(Setting(value, where))

    def drop(self, key: str) -> bool:
        """Removes one dotted key; False when it is not there."""
        *parents, leaf = key.split(".")
        node: Any = self.values
        for name in parents:
            node = node.get(name) if isinstance(node, dict) else None
        return isinstance(node, dict) and node.pop(leaf, self) is not self

    def copy(self) -> Layer:
        """An independent copy, cheap enough for each member of a sweep."""
        origins = {key: list(settings) for key, settings in self.origins.items()}
        return Layer(copy.deepcopy(self.values), origins)


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
    """Safe YAML as OmegaConf reads it: `1e-3` is a number and a date is text."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - PyYAML's own way to configure a loader
        first: [
            (tag, regexp) for tag, regexp in rules if not tag.endswith((":timestamp", ":float"))
        ]
        for first, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(
        r"^(?:[-+]?\d[\d_]*\.[\d_]*(?:[eE][-+]?\d+)?|[-+]?\d[\d_]*[eE][-+]?\d+"
        r"|[-+]?\.\d[\d_]*(?:[eE][-+]?\d+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$"
    ),
    list("-+0123456789."),
)


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
    loader = None
    try:
        loader = _Loader(path.read_text("utf-8"))
        node = loader.get_single_node()
        if node is None:
            return YamlFile({}, {})
        lines: dict[str, int] = {}
        _note_lines(node, "", lines)
        values = loader.construct_document(node)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SpecError([_syntax_problem(path, error)]) from error
    finally:
        if loader is not None:
            loader.dispose()
    if not isinstance(values, dict):
        problem = Problem(f"{display(path)}:1", "", "should hold `key: value` lines")
        raise SpecError([problem])
    return YamlFile(values, lines)


def _note_lines(node: yaml.Node, prefix: str, lines: dict[str, int]) -> None:
    if not isinstance(node, yaml.MappingNode):
        return
    for key_node, value_node in node.value:
        key = f"{prefix}{key_node.value}"
        if key in lines:
            problem = f"{key} is written twice"
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=key_node.start_mark)
        if len(lines) > _MOST_KEYS:
            problem = "too many keys: aliases that multiply?"
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=key_node.start_mark)
        lines[key] = key_node.start_mark.line + 1
        _note_lines(value_node, f"{key}.", lines)


def _syntax_problem(path: Path, error: Exception) -> Problem:
    mark = getattr(error, "problem_mark", None)
    line = mark.line + 1 if mark else 1
    what = getattr(error, "problem", None) or str(error)
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
            value = _at(parsed.values, key)
            origins[prefix + key] = [Setting(value, f"{display(path)}:{line}")]
    for name in reversed(package.split(".") if package else []):
        values = {name: values}
    return values, origins


def _at(values: dict[str, Any], key: str) -> object:
    node: Any = values
    for name in key.split("."):
        node = node.get(name) if isinstance(node, dict) else None
    return node
