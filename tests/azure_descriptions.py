"""What Microsoft's own descriptions say of requests and responses that were recorded.

Swagger 2.0 becomes JSON Schema (2020-12), more strictly than it is written: an object has no
properties but those described for it or for what it extends, and a discriminator chooses one type.
"""

import json
import re
from dataclasses import dataclass
from functools import cache

import pytest
from azure_templates import ROOT, has_templates, template_errors
from jsonschema import Draft202012Validator

_COMMON = ROOT / "swagger" / "specification"
_LEARNING = _COMMON / "machinelearningservices/resource-manager/Microsoft.MachineLearningServices"
# Versions that clients send without a description here: the nearest one that has one; what is put
# is compared with the schemas of templates besides, which there are for every version
_NEAREST = {
    "2023-06-01-preview": "2023-08-01-preview",
    "2024-10-01-preview": "2024-04-01-preview",
    "2025-01-01-preview": "2024-04-01-preview",
}
_KEPT = (
    "type",
    "enum",
    "pattern",
    "minLength",
    "maxLength",
    "minimum",
    "maximum",
    "minItems",
    "maxItems",
    "uniqueItems",
)
HOST = "https://management.azure.com"
# Polling and rights, which the descriptions of Azure ML leave out
_OF_ARM = re.compile("/operationsStatus/|/providers/Microsoft.Authorization/")


@dataclass(frozen=True)
class Deviation:
    """Something that is not as described, and why it stays.

    Attributes:
        where: A pattern of `request METHOD PATH` or `response METHOD PATH`.
        what: A pattern of what is said of it.
    """

    where: str
    what: str
    reason: str


DEVIATIONS = (
    Deviation(
        r"request PUT .*/codes/.*",
        r"properties\.properties\.hash_version: \d+ is not of type 'string'",
        "the SDK sends the version of its hash as a number",
    ),
    Deviation(
        r"request POST .*/datastores/\w+/listSecrets",
        "a body that is not described",
        "the SDK sends expirableSecret, which asks for a signature instead of a key",
    ),
    Deviation(
        r"request PUT .*/jobs/.*",
        r"properties\.objective\.goal: '(min|max)imize' is not one of .*",
        "the SDK writes the goal of a sweep in lower case",
    ),
    Deviation(
        r"response GET .*/datastores(/\w+)?",
        r"(value\.\d+\.)?properties\.credentials: 'secrets' is a required property",
        "they are written and never read (x-ms-mutability), which Swagger's `required` can not say",
    ),
)


def present():
    """Skips, loudly, where there are no descriptions."""
    if not ROOT.is_dir():
        pytest.skip(f"LOUD: {ROOT} is absent: nothing was compared with Microsoft's descriptions")


def problems(exchange):
    """What is not as described in one exchange: `request METHOD PATH: where: what`."""
    found = [f"{where}: {what}" for where, what in _problems(exchange) if not _known(where, what)]
    return sorted(found)


def deviations(exchange):
    """Which of the known deviations are in one exchange."""
    return {_known(where, what) for where, what in _problems(exchange)} - {None}


def _known(where, what):
    for deviation in DEVIATIONS:
        if re.fullmatch(deviation.where, where) and re.fullmatch(deviation.what, what):
            return deviation
    return None


def _problems(exchange):
    path = exchange["url"].removeprefix(HOST)
    if path == exchange["url"] or not exchange["status"] or _OF_ARM.search(path):
        return  # another service, none of which is described; a lost answer; ARM's own
    where = f"{exchange['method']} {path}"
    version = exchange["query"].get("api-version")
    operation = _operation(exchange["method"].lower(), path, version)
    if operation is None:
        yield f"request {where}", f"it is not described in api-version {version}"
        return
    file, described = operation
    for what in _of_request(file, described, exchange["request"]["body"]):
        yield f"request {where}", what
    if version in _NEAREST and exchange["method"] == "PUT":
        own = version if has_templates(version) else _NEAREST[version]
        for what in template_errors(own, path, exchange["request"]["body"]):
            yield f"request {where}", what
    for what in _of_response(file, described, exchange["status"], exchange["response"]["body"]):
        yield f"response {where}", what


def _of_request(file, described, body):
    parameters = [_target(file, p) for p in described.get("parameters", [])]
    bodies = [(at, p) for at, p in parameters if p.get("in") == "body"]
    if not bodies:
        if body is not None:
            yield "a body that is not described"
        return
    at, parameter = bodies[0]
    if body is not None or parameter.get("required"):
        yield from _errors(at, parameter["schema"], body)


def _of_response(file, described, status, body):
    responses = described["responses"]
    answer = responses.get(str(status), responses.get("default") if status >= 400 else None)
    if answer is None:
        yield f"status {status} is not described"
    elif "schema" in answer:
        yield from _errors(file, answer["schema"], body)
    elif body is not None:
        yield "a body that is not described"


def _errors(file, schema, body):
    converted = _converted(file, json.dumps(schema))
    validator = Draft202012Validator({**converted, "$defs": _DEFINITIONS})
    for error in validator.iter_errors(body):
        yield f"{'.'.join(map(str, error.absolute_path))}: {error.message[:300]}"


@cache
def _document(file):
    return json.loads(file.read_text("utf-8"))


def _operation(method, path, version):
    """The file and the description of a route in a version; None where there is none."""
    for file in _files(_NEAREST.get(version, version)):
        for pattern, operations in _document(file)["paths"].items():
            if method in operations and _pattern(pattern).fullmatch(path):
                return file, operations[method]
    return None


@cache
def _files(version):
    return sorted(_LEARNING.glob(f"*/{version}/*.json"))


@cache
def _pattern(path):
    words = re.split(r"\{\w+\}", path)
    return re.compile("[^/]+".join(map(re.escape, words)), re.IGNORECASE)


def _target(file, part):
    """What a reference leads to, with the file it is in."""
    if "$ref" not in part:
        return file, part
    name, _, pointer = part["$ref"].partition("#")
    there = (file.parent / name).resolve() if name else file
    found = _document(there)
    for word in pointer.strip("/").split("/"):
        found = found[word]
    return there, found


_DEFINITIONS = {}  # every definition that was met, as JSON Schema


def _definition(file, name):
    """The key of a definition."""
    key = f"{file.relative_to(ROOT)}:{name}".replace("/", "|")
    if key not in _DEFINITIONS:
        _DEFINITIONS[key] = True  # while it is made, for those that contain themselves
        subtypes = _subtypes(file, name)
        schema = _document(file)["definitions"][name]
        _DEFINITIONS[key] = (
            _chosen(file, schema["discriminator"], subtypes)
            if subtypes
            else _converted(file, json.dumps(schema))
        )
    return key


def _chosen(file, discriminator, subtypes):
    """The one of several types that a property names."""
    return {
        "required": [discriminator],
        "properties": {discriminator: {"enum": [*subtypes]}},
        "allOf": [
            {
                "if": {"properties": {discriminator: {"const": value}}},
                "then": {"$ref": f"#/$defs/{_definition(file, name)}"},
            }
            for value, name in subtypes.items()
        ],
    }


@cache
def _subtypes(file, base):
    """Value of the discriminator -> name, of all definitions that extend one."""
    definitions = _document(file)["definitions"]
    if "discriminator" not in definitions[base]:
        return {}
    return {
        schema["x-ms-discriminator-value"]: name
        for name, schema in definitions.items()
        if "x-ms-discriminator-value" in schema and base in _bases(definitions, name)
    }


def _bases(definitions, name):
    for part in definitions[name].get("allOf", []):
        base = part.get("$ref", "").removeprefix("#/definitions/")
        if base in definitions:
            yield base
            yield from _bases(definitions, base)


@cache
def _converted(file, text):
    """A schema of Swagger's as JSON Schema."""
    schema = json.loads(text)
    if "$ref" in schema:
        name, _, pointer = schema["$ref"].partition("#/definitions/")
        there = (file.parent / name).resolve() if name else file
        made = {"$ref": f"#/$defs/{_definition(there, pointer)}"}
    else:
        made = {name: schema[name] for name in _KEPT if name in schema} | _object(file, schema)
        if "items" in schema:
            made["items"] = _converted(file, json.dumps(schema["items"]))
    if schema.get("x-nullable"):
        return {"if": {"type": "null"}, "else": made}
    return made


def _object(file, schema):
    """Its properties, with those of what it extends, and no others."""
    parts = [*_parts(file, schema)]
    properties = {
        name: _converted(at, json.dumps(described))
        for at, part in parts
        for name, described in part.get("properties", {}).items()
    }
    required = [name for _, part in parts for name in part.get("required", [])]
    others = [(at, part.get("additionalProperties")) for at, part in parts]
    free = [_converted(at, json.dumps(other)) for at, other in others if isinstance(other, dict)]
    made = {"required": required} if required else {}
    if free:
        made["additionalProperties"] = free[0]
    elif properties:
        made["additionalProperties"] = False
    return {**made, "properties": properties} if properties else made


def _parts(file, schema):
    """A definition and all that it extends."""
    yield file, schema
    for part in schema.get("allOf", []):
        yield from _parts(*_target(file, part))
