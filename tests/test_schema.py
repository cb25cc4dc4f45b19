"""The JSON Schemas that editors use accept our YAML and refuse what validation refuses."""

import json
from functools import cache
from pathlib import Path

import jsonschema
import pytest
import yaml
from toyproject import Project

Validator = jsonschema.Draft202012Validator
CONF = Path(__file__).resolve().parent.parent / "conf"
FILES = sorted(p for p in CONF.rglob("*.yaml") if "schema" not in p.parts)


def schema_named_by(path: Path) -> Validator:
    (line,) = [x for x in path.read_text().splitlines() if x.startswith("# yaml-language-server")]
    return validator((path.parent / line.partition("$schema=")[2]).resolve())


@cache
def validator(path: Path) -> Validator:
    schema = json.loads(path.read_text())
    Validator.check_schema(schema)
    return Validator(schema)


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(CONF)))
def test_shipped_yaml_satisfies_the_schema_it_names(path: Path) -> None:
    schema_named_by(path).validate(yaml.safe_load(path.read_text()))


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("training/transfer", {"freez": "none"}),
        ("training/transfer", {"lr": "fast"}),
        ("training/transfer", {"kind": "transfr"}),
        ("model/small_cnn", {"channels": 2}),
        ("evaluation/mcnemar", {"gate": {"kind": "mcnemar", "alpha": 2}}),
        ("compute/local", {"accelerator": "tpu"}),
        ("experiment/quickstart", {"training": {"epoch": 3}}),
        ("config", {"sead": 1}),
        ("infra/terraform_all", {"part": ["web"]}),
        ("infra/terraform_all", {"parts": ["site"]}),
    ],
)
def test_editor_underlines_what_validation_refuses(name: str, change: dict) -> None:
    path = CONF / f"{name}.yaml"
    values = {**yaml.safe_load(path.read_text()), **change}
    with pytest.raises(jsonschema.ValidationError):
        schema_named_by(path).validate(values)


def test_placeholders_are_fine_anywhere() -> None:
    path = CONF / "training" / "transfer.yaml"
    values = {**yaml.safe_load(path.read_text()), "lr": "${seed}", "epochs": "???"}
    schema_named_by(path).validate(values)


def test_own_kinds_are_in_a_projects_schemas(project: Project) -> None:
    assert project.call("schema", "--check").returncode == 4
    answer = project.call("schema")
    assert answer.returncode == 0
    assert "wrote conf/schema/training.json" in answer.stdout
    text = (project.path / "conf" / "schema" / "training.json").read_text()
    assert '"rounds"' in text
    assert project.call("schema", "--check").returncode == 0
    for path in (project.path / "conf").rglob("*.yaml"):
        schema_named_by(path).validate(yaml.safe_load(path.read_text()))


def test_file_without_the_editors_header_is_named(project: Project) -> None:
    project.call("schema")
    path = project.path / "conf" / "experiment" / "bare.yaml"
    path.parent.mkdir()
    path.write_text("# @package _global_\nname: bare\n")
    answer = project.call("schema", "--check")
    assert answer.returncode == 4
    assert "conf/experiment/bare.yaml does not name its schema" in answer.stdout
    assert "# yaml-language-server: $schema=../schema/experiment.json" in answer.stdout


def test_folder_without_conf_is_told_what_to_do(tmp_path) -> None:
    answer = Project(tmp_path).call("schema")
    assert answer.returncode == 1
    assert "python -m mlops_spec init DIR" in answer.stderr
