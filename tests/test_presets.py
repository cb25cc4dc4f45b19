"""Every preset and every kind keeps the rules, whichever there are: the folders are the lists."""

import inspect
import typing
from itertools import takewhile
from pathlib import Path

import pytest
import yaml
from project import command_of
from pydantic import BaseModel

from mlops_spec import kinds
from mlops_spec.compose import Composer
from mlops_spec.schema import HEADER
from mlops_spec.spec import Spec, leaves
from mlops_spec.validate import parse

ROOT = Path(__file__).resolve().parents[1]
CONF = ROOT / "conf"
PRESETS = sorted(p for p in CONF.glob("*/*.yaml") if p.parent.name not in ("schema", "experiment"))
EXPERIMENTS = sorted(CONF.glob("experiment/*.yaml"))
KINDS = [(group, kind) for group in sorted(kinds.GROUPS) for kind in kinds.names(group)]
# group -> the functions of its protocol, with their arguments
PROTOCOLS = {
    "data": {"fingerprint": 1, "prepare": 2},
    "training": {"train": 4},
    "benchmark": {},
    "target": {},
    "frontend": {},
}
OPTIONAL = {
    "data": {"contradictions": 1},
    "training": {"contradictions": 1},
    "benchmark": {"predict": 2, "contradictions": 1},
    "target": {"steps": 2, "facts": 1, "contradictions": 1},
    "frontend": {"steps": 2, "facts": 1, "contradictions": 1},
}


def name(path):
    return f"{path.parent.name}/{path.stem}" if isinstance(path, Path) else str(path)


def model_of(section, values):
    """The model that a section of these values is validated by."""
    if section in kinds.GROUPS:
        return kinds.load(section, values["kind"]).Spec
    return chosen(Spec.model_fields[section].annotation, values)


def chosen(annotation, values):
    """The model behind an annotation; of a union, the one whose kind the values name."""
    parts = [annotation, *typing.get_args(annotation)]
    models = [p for p in parts if isinstance(p, type) and issubclass(p, BaseModel)]
    if len(models) > 1:
        named = [m for m in models if values["kind"] in kinds_of(m)]
        assert len(named) == 1, f"one kind, one model: {values['kind']}"
        return named[0]
    return models[0] if models else None


def kinds_of(model):
    return typing.get_args(model.model_fields["kind"].annotation)


def differences(model, values, key):
    """Fields that a preset leaves out, and keys that no field has; sections within too."""
    yield from (f"{key}.{field} is missing" for field in model.model_fields.keys() - values.keys())
    yield from (f"{key}.{field} is unknown" for field in values.keys() - model.model_fields.keys())
    for field, info in model.model_fields.items():
        several = typing.get_origin(info.annotation) is dict
        annotation = typing.get_args(info.annotation)[1] if several else info.annotation
        found = values.get(field)
        parts = (
            {f"{field}.{name}": one for name, one in found.items()} if several else {field: found}
        )
        for name, one in parts.items():
            inner = chosen(annotation, one) if one is not None else None
            if inner is not None:
                yield from differences(inner, one, f"{key}.{name}")


def test_the_folders_are_not_empty():
    assert {p.parent.name for p in PRESETS} == Spec.model_fields.keys() - {
        "name",
        "registered_model",
        "seed",
        "lineage",
        "budget",
    }
    assert EXPERIMENTS
    assert {group for group, _ in KINDS} == kinds.GROUPS.keys() == PROTOCOLS.keys()


@pytest.mark.parametrize("path", PRESETS, ids=name)
def test_a_preset_spells_every_field_and_nothing_else(path):
    section = path.parent.name
    values = Composer().compose([f"{section}={path.stem}"]).values[section]
    assert list(differences(model_of(section, values), values, section)) == []


def test_the_root_spells_every_other_field():
    values = yaml.safe_load((CONF / "config.yaml").read_text("utf-8"))
    groups = {next(iter(entry)) for entry in values.pop("defaults") if entry != "_self_"}
    assert groups == {p.parent.name for p in PRESETS}
    assert values.keys() == Spec.model_fields.keys() - groups


@pytest.mark.parametrize("path", [CONF / "config.yaml", *PRESETS, *EXPERIMENTS], ids=name)
def test_a_file_names_its_schema_and_says_what_it_is_for(path):
    lines = path.read_text("utf-8").splitlines()
    head = list(takewhile(lambda line: line.startswith("#"), lines))
    named = [line.removeprefix(HEADER) for line in head if line.startswith(HEADER)]
    assert len(named) == 1
    assert (path.parent / named[0]).resolve().is_file()
    expected = path.parent.name if path.parent != CONF else path.stem
    assert Path(named[0]).stem == expected
    comments = [x for x in head if not x.startswith((HEADER, "# @package", "# python -m"))]
    assert any(len(comment.split()) > 2 for comment in comments), "a line for people"


@pytest.mark.parametrize("path", EXPERIMENTS, ids=name)
def test_an_experiment_opens_with_the_command_that_runs_it(path):
    lines = path.read_text("utf-8").splitlines()
    assert lines[0] == "# @package _global_"
    command = next(line for line in lines if line.startswith("# python -m mlops_spec"))
    words = command.split()[4:]
    assert words[0] == f"+experiment={path.stem}"
    assert lines.index(command) <= 2


@pytest.mark.parametrize("path", EXPERIMENTS, ids=name)
def test_an_experiment_is_valid_once_its_required_values_are_given(path, tmp_path):
    composer = Composer()
    asked = composer.compose([f"+experiment={path.stem}"])
    missing = [key for key, value in leaves(asked.values) if value == "???"]
    words = command_of(path.stem, tmp_path, asked.values["data"])
    assert {*missing} <= {word.partition("=")[0] for word in words[1:]}, "what is required"
    composition = composer.compose(words)
    spec = parse(composition.values, composition.origins, composition.problems)
    assert spec.name == asked.values["name"]


@pytest.mark.parametrize("path", EXPERIMENTS, ids=name)
def test_an_experiment_sets_only_keys_that_exist(path):
    values = yaml.safe_load(path.read_text("utf-8"))
    values.pop("defaults", None)
    composition = Composer().compose([f"+experiment={path.stem}"])
    for key, _ in leaves(values):
        assert len(composition.origins[key]) > 1, f"{key} overrides nothing"


# Kinds


@pytest.mark.parametrize(("group", "kind"), KINDS)
def test_a_kind_is_the_name_of_its_module(group, kind):
    module = kinds.load(group, kind)
    assert kinds_of(module.Spec) == (kind,)
    assert module.Spec.model_config["extra"] == "forbid"
    assert module.Spec.model_config["frozen"]


@pytest.mark.parametrize(("group", "kind"), KINDS)
def test_a_kind_has_the_functions_of_its_protocol(group, kind):
    module = kinds.load(group, kind)
    for function, arguments in {**PROTOCOLS[group], **OPTIONAL[group]}.items():
        found = getattr(module, function, None)
        assert found is not None or function in OPTIONAL[group], f"{function} is missing"
        if found is not None:
            assert len(inspect.signature(found).parameters) == arguments, function
            assert found.__doc__, function


@pytest.mark.parametrize(("group", "kind"), KINDS)
def test_a_kind_has_a_preset(group, kind):
    presets = [p for p in PRESETS if p.parent.name == group]
    assert kind in [yaml.safe_load(p.read_text("utf-8"))["kind"] for p in presets]


@pytest.mark.parametrize(("group", "kind"), KINDS)
def test_a_kind_has_no_second_default(group, kind):
    """Every value is written once, in YAML."""
    fields = kinds.load(group, kind).Spec.model_fields
    assert [name for name, field in fields.items() if not field.is_required()] == []
