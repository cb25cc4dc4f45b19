"""What the schemas of Azure's templates say of a resource that is put.

There is one for every version of Azure ML's API; Swagger's descriptions lack some.
"""

import json
from functools import cache
from pathlib import Path

from jsonschema import Draft202012Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

ROOT = (Path(__file__).resolve().parents[2] / "shared" / "azure" / "openapi").resolve()
_ARM = ROOT / "arm-schemas"
_SHARED = "https://schema.management.azure.com/schemas/common/definitions.json"


def template_errors(version, path, body):
    """What the schema of templates says of a resource that is put, by its own version."""
    kind = "_".join(("workspaces", *path.split("/")[9::2]))
    registry, kinds = _arm(version)
    if kind in kinds:
        pointer = f"urn:arm#/resourceDefinitions/{kind}/properties/properties"
        validator = Draft202012Validator({"$ref": pointer}, registry=registry)
        for error in validator.iter_errors((body or {}).get("properties")):
            yield f"properties in arm-schemas {version}: {_cause(error).message[:300]}"


def has_templates(version):
    """Whether there are schemas of templates of a version."""
    return (_ARM / version).is_dir()


def _cause(error):
    """What is wrong with the one that was meant, where one of several would have to fit."""
    branches = {}
    for inner in error.context or ():
        branches.setdefault(inner.schema_path[0], []).append(inner)
    meant = [found for found in branches.values() if not any(map(_is_another, found))]
    return _cause(meant[0][0]) if meant else error


def _is_another(error):
    """Whether this is about another type, or about an expression of a template."""
    expression = error.validator == "pattern" and error.validator_value.startswith(r"^\[")
    text = error.validator == "type" and error.validator_value == "string" and error.parent
    return error.validator == "const" or expression or (text and isinstance(error.instance, dict))


@cache
def _arm(version):
    """The schemas of a version, and the kinds of resources that they describe."""
    document = json.loads((_ARM / version / "Microsoft.MachineLearningServices.json").read_text())
    shared = json.loads((_ARM / "common" / "definitions.json").read_text("utf-8"))
    parts = {_SHARED: shared, "urn:arm": _satisfiable(document)}
    made = {uri: Resource(part, DRAFT202012) for uri, part in parts.items()}
    return Registry().with_resources(made.items()), document["resourceDefinitions"]


def _satisfiable(document):
    """Closed objects that extend each other exclude each other: what is closed is the whole."""
    definitions, extending = document["definitions"], [*_extending(document)]
    members = [member for part in extending for member in part["allOf"]]
    parts = [definitions[name] for part in extending for name in _names(part["allOf"])]
    for part in (*parts, *members):
        part.pop("additionalProperties", None)
    parts += [one for member in members for one in member.get("oneOf", ())]
    for part in extending:
        if not any(part is other for other in parts):
            part["unevaluatedProperties"] = False
    return document


def _extending(part):
    if isinstance(part, dict):
        if "allOf" in part:
            yield part
        for inner in part.values():
            yield from _extending(inner)
    elif isinstance(part, list):
        for inner in part:
            yield from _extending(inner)


def _names(members):
    """Definitions that stand in an `allOf`, also as one of several."""
    for member in members:
        for one in (member, *member.get("oneOf", ())):
            name = one.get("$ref", "").removeprefix("#/definitions/")
            if name and "/" not in name:
                yield name
