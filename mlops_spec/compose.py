"""YAML files and command-line overrides, composed as Hydra does, with the origin of every key.

Only Hydra's public API is used: its override parser, its config groups and its defaults lists.
Values are merged once per distinct choice of groups, so that the thousand members of a sweep that
changes values only cost one composition and a thousand small copies.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins
from hydra.errors import HydraException
from hydra.plugins.search_path_plugin import SearchPathPlugin
from hydra.types import RunMode
from omegaconf import OmegaConf
from omegaconf.errors import InterpolationToMissingValueError, OmegaConfBaseException

from mlops_spec import conf_files as conf
from mlops_spec import secrets
from mlops_spec.errors import Problem, SpecError, suggest
from mlops_spec.origins import (
    COMMAND_LINE,
    Layer,
    Origins,
    Setting,
    file_origins,
    read_yaml,
    value_at,
    where_is,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from hydra.core.config_loader import ConfigLoader
    from hydra.core.config_search_path import ConfigSearchPath
    from hydra.core.override_parser.types import Override


@dataclass(frozen=True)
class Composition:
    """One composed configuration, not yet validated."""

    values: dict[str, Any]
    origins: Origins
    choices: dict[str, str]  # group -> chosen option
    overrides: tuple[str, ...]
    problems: tuple[Problem, ...]  # of composing; validation adds its own


class _Overlay(SearchPathPlugin):
    """Puts the project's `conf/` before the installed one on Hydra's search path."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        for folder in conf.folders()[:-1]:
            search_path.prepend(provider="project", path=folder.as_uri())


def register_overlay() -> None:
    """Makes Hydra see the project's own `conf/`; also for Hydra's own commands."""
    if _Overlay not in Plugins.instance().discover(SearchPathPlugin):
        Plugins.instance().register(_Overlay)


class Composer:
    """The configuration groups as they lie on disk, ready to be composed."""

    def __init__(self) -> None:
        self._check_syntax()
        GlobalHydra.instance().clear()
        register_overlay()
        initialize_config_dir(str(conf.installed()), job_name="mlops_spec", version_base="1.3")
        self._loader: ConfigLoader = GlobalHydra.instance().config_loader()
        self._parser = OverridesParser.create(self._loader)
        self._layers: dict[tuple[str, ...], tuple[Layer, dict[str, str]]] = {}
        self.groups = conf.groups()

    def _check_syntax(self) -> None:
        """Parses every file first: all syntax errors at once, each with its line."""
        problems: list[Problem] = []
        for path in itertools.chain.from_iterable(conf.yaml_files(f) for f in conf.folders()):
            try:
                read_yaml(path)
            except SpecError as error:
                problems += error.problems
        if problems:
            raise SpecError(problems)

    def members(self, overrides: Sequence[str]) -> Iterator[tuple[str, ...]]:
        """The override lists of a sweep's members, in Hydra's order: the first key is outermost."""
        choices: list[list[str]] = []
        for text, override in zip(overrides, self._parse(overrides), strict=True):
            if override.is_interval_sweep():
                cure = "needs a step: write range(start,stop,step) or a list"
                raise SpecError([Problem(COMMAND_LINE, override.key_or_group, cure)])
            if override.is_sweep_override():
                key = override.get_key_element()
                choices.append([f"{key}={value}" for value in override.sweep_string_iterator()])
            else:
                choices.append([text])
        return itertools.product(*choices)

    def compose(self, overrides: Sequence[str]) -> Composition:
        """Composes one configuration.

        Args:
            overrides: In Hydra's grammar, without sweeps.

        Raises:
            SpecError: The overrides can not be read at all, or the files contradict each other.
        """
        problems: list[Problem] = []
        groups: list[str] = []
        values: list[Override] = []
        seen: set[str] = set()
        for text, override in zip(overrides, self._parse(overrides), strict=True):
            problem = self._problem(override)
            if problem:
                problems.append(problem)
            elif self._is_group(override):
                if "experiment" in seen and override.key_or_group == "experiment":
                    what = "one run has one experiment; of the others, set the keys you need"
                    problems.append(Problem(COMMAND_LINE, "experiment", what))
                    continue
                seen.add(override.key_or_group)
                plain = override.key_or_group == "experiment" and not text.startswith(("+", "~"))
                groups.append(f"+{text}" if plain else text)
            else:
                values.append(override)
        layer, choices = self._base(tuple(groups))
        for text in groups:
            if text.startswith("~"):
                deleted = text[1:].partition("=")[0]
                layer.origins.setdefault(deleted, []).append(Setting(None, COMMAND_LINE))
        problems += _apply(values, layer)
        resolved, unresolved = _resolve(layer)
        problems += unresolved
        return Composition(resolved, layer.origins, choices, tuple(overrides), tuple(problems))

    def _parse(self, overrides: Sequence[str]) -> list[Override]:
        parsed: list[Override] = []
        problems: list[Problem] = []
        for text in overrides:
            key = text.partition("=")[0].lstrip("+~")
            try:
                parsed += self._parser.parse_overrides([text]) if key else []
            except HydraException:
                key = ""
            if not key:
                problems.append(_unreadable(text))
        if problems:
            raise SpecError(problems)
        return parsed

    def _is_group(self, override: Override) -> bool:
        named = override.key_or_group in self.groups
        return named and (override.is_delete() or isinstance(override.value(), str))

    def _problem(self, override: Override) -> Problem | None:
        key = override.key_or_group
        if key.split("/")[0].split(".")[0] == "hydra":
            return Problem(
                COMMAND_LINE, key, "Hydra's own settings have no effect here: leave it out"
            )
        if override.is_sweep_override():
            return Problem(COMMAND_LINE, key, "several values: add -m for a sweep")
        if override.package is not None or "/" in key:
            known = suggest(key, self.groups)
            return Problem(COMMAND_LINE, key, f"unknown group{known}")
        if not self._is_group(override) or override.is_delete():
            return None
        if override.is_add() and key in self._chosen():
            return Problem(COMMAND_LINE, key, f"is chosen already: write {key}={override.value()}")
        return self._option_problem(key, str(override.value()))

    def _chosen(self) -> set[str]:
        """The groups that the defaults list of config.yaml chooses from."""
        return set(self._base(())[1])

    def _option_problem(self, group: str, option: str) -> Problem | None:
        options = self.groups[group]
        if option in options:
            return None
        listed = ", ".join(options)
        what = f"unknown option {option!r}{suggest(option, options)} (known: {listed})"
        return Problem(COMMAND_LINE, group, what)

    def _base(self, groups: tuple[str, ...]) -> tuple[Layer, dict[str, str]]:
        if groups not in self._layers:
            self._layers[groups] = self._merge(groups)
        layer, choices = self._layers[groups]
        return layer.copy(), choices

    def _merge(self, groups: tuple[str, ...]) -> tuple[Layer, dict[str, str]]:
        try:
            defaults = self._loader.compute_defaults_list("config", list(groups), RunMode.RUN)
        except (HydraException, OmegaConfBaseException, TypeError, ValueError) as error:
            raise SpecError(conf.problems(error, self.groups)) from error
        layer = Layer()
        for default in defaults.defaults:
            name = default.config_path
            if name is not None and not name.startswith("hydra/"):
                layer.merge(*file_origins(conf.find(name), default.package or ""))
        chosen = defaults.overrides.known_choices
        return layer, {g: o for g, o in chosen.items() if o and not g.startswith("hydra/")}


def _unreadable(text: str) -> Problem:
    key = text.partition("=")[0].lstrip("+~")
    shown = f"{key}=..." if secrets.is_named(key) else text
    what = f"cannot read {shown!r}: write KEY=VALUE or ~KEY, odd characters quoted"
    return Problem(COMMAND_LINE, key, what)


def _apply(overrides: Sequence[Override], layer: Layer) -> Iterator[Problem]:
    """Lays value overrides over the files; whether a key exists is for validation to say."""
    for override in overrides:
        key, value = override.key_or_group, override.value()
        try:
            if not override.is_delete():
                layer.put(key, value, COMMAND_LINE)
            elif value is not None and value != value_at(layer.values, key):
                yield Problem(COMMAND_LINE, key, "has another value than the one to delete")
            elif not layer.drop(key):
                yield Problem(COMMAND_LINE, key, "nothing to delete: there is no such key")
        except KeyError as error:
            what = f"{error.args[0]} is no section that could hold it"
            yield Problem(COMMAND_LINE, key, what)


def _resolve(layer: Layer) -> tuple[dict[str, Any], list[Problem]]:
    """Values with `${...}` replaced; `${secret:NAME}` stays a name."""
    if not OmegaConf.has_resolver("secret"):
        OmegaConf.register_new_resolver("secret", lambda name: f"${{secret:{name}}}")
    try:
        resolved = OmegaConf.to_container(OmegaConf.create(layer.values), resolve=True)
    except InterpolationToMissingValueError:
        return layer.values, []  # what is missing is a problem of its own
    except OmegaConfBaseException as error:
        key = str(getattr(error, "full_key", "") or "")
        what = str(error).splitlines()[0]
        return layer.values, [Problem(where_is(layer.origins, key), key, what)]
    return resolved, []  # type: ignore[return-value] # a mapping stays a mapping
