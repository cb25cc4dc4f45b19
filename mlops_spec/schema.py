"""`schema`: JSON Schemas of every configuration group, for editors to complete and check YAML."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter

from mlops_spec import files, kinds
from mlops_spec.conf_files import yaml_files
from mlops_spec.errors import ExitCode, MlopsError
from mlops_spec.origins import display
from mlops_spec.spec import Spec
from mlops_spec.view import echo

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlops_spec.compose import Composer

HEADER = "# yaml-language-server: $schema="
_DIALECT = "https://json-schema.org/draft/2020-12/schema"
# What a value may be instead of itself in YAML: missing, or an interpolation.
_PLACEHOLDER = {"type": "string", "pattern": r"^\?\?\?$|\$\{.+\}"}


def write(composer: Composer, *, check: bool) -> ExitCode:
    """Writes `conf/schema/*.json`; with `check` only says which are stale or not referred to.

    Raises:
        MlopsError: There is no `conf/` in the working folder.
    """
    conf = Path.cwd() / "conf"
    if not conf.is_dir():
        raise MlopsError(
            "there is no conf/ in this folder", "python -m mlops_spec init DIR makes one"
        )
    stale = []
    for name, document in documents(composer).items():
        path = conf / "schema" / f"{name}.json"
        text = json.dumps(document, indent=2, sort_keys=True) + "\n"
        if path.exists() and path.read_text("utf-8") == text:
            continue
        stale.append(path)
        if not check:
            files.write_text(path, text)
    for path in stale:
        echo(f"{'stale' if check else 'wrote'} {display(path)}")
    headless = list(_without_header(conf))
    for path in headless:
        line = HEADER + os.path.relpath(
            conf / "schema" / f"{_schema_of(conf, path)}.json", path.parent
        )
        echo(f"{display(path)} does not name its schema; write above its first key: {line}")
    if check and stale:
        echo("run: python -m mlops_spec schema", sys.stderr)
    return ExitCode.DIFFERENT if check and (stale or headless) else ExitCode.DONE


def documents(composer: Composer) -> dict[str, dict[str, Any]]:
    """The schemas by name: one a group, `config`, and `experiment`, where every key is optional."""
    sections = {name: _section(name) for name in Spec.model_fields}
    choices = {
        "type": "array",
        "description": "which option of each group, in the order they are merged",
    }
    groups = [name for name in composer.groups if name in sections]
    found = {name: _document(_extending(sections[name], choices)) for name in groups}
    whole = {
        "type": "object",
        "properties": {"defaults": choices, **sections},
        "additionalProperties": False,
    }
    found["config"] = _document(whole)
    found["experiment"] = _document(_optional(whole))
    return found


def _section(name: str) -> dict[str, Any]:
    """The schema of one section; of an open one, any of its kinds."""
    if name in kinds.GROUPS:
        modules = [kinds.load(name, kind) for kind in kinds.names(name)]
        return {"anyOf": [_inlined(module.Spec.model_json_schema()) for module in modules]}
    field = Spec.model_fields[name]
    annotation: Any = field.annotation
    if field.metadata or field.discriminator:
        return _inlined(Spec.model_json_schema())["properties"][name]  # type: ignore[no-any-return]
    return _inlined(TypeAdapter(annotation).json_schema())


def _extending(section: dict[str, Any], choices: dict[str, Any]) -> dict[str, Any]:
    """The schema of a group's file; one that starts from another (`defaults`) may say less."""
    variants = section.get("oneOf") or section.get("anyOf") or [section]
    more = [{**one, "properties": {"defaults": choices, **one["properties"]}} for one in variants]
    shorter = _optional({"anyOf": more})
    return {"if": {"required": ["defaults"]}, "then": shorter, "else": section}


def _document(schema: dict[str, Any]) -> dict[str, Any]:
    return {"$schema": _DIALECT, **_loosened(schema)}


def _inlined(schema: dict[str, Any]) -> dict[str, Any]:
    """A schema with its `$defs` put where they are used: editors show better hints."""
    definitions = schema.pop("$defs", {})

    def put(node: Any) -> Any:
        if isinstance(node, list):
            return [put(item) for item in node]
        if not isinstance(node, dict):
            return node
        if "$ref" in node:
            return put(definitions[node["$ref"].rpartition("/")[2]])
        # `title` repeats the key, `discriminator` is OpenAPI's: neither helps an editor.
        # A setting that is called so has a schema where they have a text and `propertyName`.
        helpful = {
            key: value
            for key, value in node.items()
            if not (key == "title" and isinstance(value, str))
            and not (key == "discriminator" and "propertyName" in value)
        }
        return {key: put(value) for key, value in helpful.items()}

    return put(schema)  # type: ignore[no-any-return]


def _loosened(schema: Any) -> Any:
    """Lets every value of a mapping also be `???` or an interpolation."""
    if isinstance(schema, list):
        return [_loosened(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    loose = {key: _loosened(value) for key, value in schema.items()}
    if isinstance(loose.get("properties"), dict):
        loose["properties"] = {
            name: value if name == "kind" else {"anyOf": [value, _PLACEHOLDER]}
            for name, value in loose["properties"].items()
        }
    return loose


def _optional(schema: Any) -> Any:
    """A schema for a part of a configuration: nothing is required, so several kinds may fit."""
    if isinstance(schema, list):
        return [_optional(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    parts = {"anyOf" if key == "oneOf" else key: value for key, value in schema.items()}
    return {key: _optional(value) for key, value in parts.items() if key != "required"}


def _without_header(conf: Path) -> Iterator[Path]:
    for path in yaml_files(conf):
        if not any(line.startswith(HEADER) for line in path.read_text("utf-8").splitlines()[:5]):
            yield path


def _schema_of(conf: Path, path: Path) -> str:
    parts = path.relative_to(conf).parts
    return parts[0] if len(parts) > 1 else path.stem
