"""A Terraform provider that knows its schema and nothing else, served by this process.

Terraform asks a provider that already runs over gRPC (plugin protocol 6), at the address that
TF_REATTACH_PROVIDERS names. For `init`, `validate` and `test` with mocks it wants the schema and no
objections, so each of `NO_OBJECTION` is answered by an empty message. Whatever else it asks for is
answered by the cloud that it is served with (cloud_provider.py); without one it is not implemented,
and it says so.
"""

from __future__ import annotations

import json
import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

_MESSAGES = {  # of tfplugin6.proto, only what a schema needs: field -> (number, type)
    "Attribute": {
        "name": (1, "STRING"),
        "type": (2, "BYTES"),
        "description": (3, "STRING"),
        "required": (4, "BOOL"),
        "optional": (5, "BOOL"),
        "computed": (6, "BOOL"),
        "sensitive": (7, "BOOL"),
        "deprecated": (9, "BOOL"),
        "nested_type": (10, "Object"),
        "write_only": (11, "BOOL"),
    },
    "Object": {"attributes": (1, "[Attribute]"), "nesting": (3, "INT32")},
    "NestedBlock": {
        "type_name": (1, "STRING"),
        "block": (2, "Block"),
        "nesting": (3, "INT32"),  # enumerations look like integers on the wire
        "min_items": (4, "INT64"),
        "max_items": (5, "INT64"),
    },
    "Block": {"attributes": (2, "[Attribute]"), "block_types": (3, "[NestedBlock]")},
    "Schema": {"version": (1, "INT64"), "block": (2, "Block")},
    "Entry": {"key": (1, "STRING"), "value": (2, "Schema")},  # and a map like a list of these
    "GetProviderSchema": {
        "provider": (1, "Schema"),
        "resource_schemas": (2, "[Entry]"),
        "data_source_schemas": (3, "[Entry]"),
    },
}
_BLOCKS = {"single": 1, "list": 2, "set": 3, "map": 4, "group": 5}
_OBJECTS = {"single": 1, "list": 2, "set": 3, "map": 4}
_AT_ONCE = 24  # two commands at once, each of ten operations, and a call that ends them
_FLAGS = ("required", "optional", "computed", "sensitive", "deprecated", "write_only")
NO_OBJECTION = (
    "ConfigureProvider",
    "StopProvider",
    "ValidateDataResourceConfig",
    "ValidateProviderConfig",
    "ValidateResourceConfig",
)


def message_classes(messages):
    """Message -> its class, from a table: message -> field -> (number, type)."""
    file = descriptor_pb2.FileDescriptorProto(name="schema.proto", package="schema")
    for message, fields in messages.items():
        declared = file.message_type.add(name=message)
        for field, (number, kind) in fields.items():
            one = declared.field.add(name=field, number=number)
            one.label = one.LABEL_REPEATED if kind.startswith("[") else one.LABEL_OPTIONAL
            if kind.isupper():
                one.type = getattr(one, f"TYPE_{kind}")
            else:
                one.type, one.type_name = one.TYPE_MESSAGE, f".schema.{kind.strip('[]')}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"schema.{name}"))
        for name in messages
    }


def _attributes(attributes):
    for name, given in attributes.items():
        kept = {flag: given[flag] for flag in _FLAGS if flag in given}
        if nested := given.get("nested_type"):
            nesting = _OBJECTS[nested["nesting_mode"]]
            kept["nested_type"] = {
                "attributes": [*_attributes(nested["attributes"])],
                "nesting": nesting,
            }
        else:
            kept["type"] = json.dumps(given["type"]).encode()
        yield {"name": name, "description": given.get("description", ""), **kept}


def _block(given):
    return {
        "attributes": [*_attributes(given.get("attributes", {}))],
        "block_types": [
            {
                "type_name": name,
                "block": _block(nested["block"]),
                "nesting": _BLOCKS[nested["nesting_mode"]],
                "min_items": nested.get("min_items", 0),
                "max_items": nested.get("max_items", 0),
            }
            for name, nested in given.get("block_types", {}).items()
        ],
    }


def _schema(given):
    return {"version": given["version"], "block": _block(given["block"])}


def answer(provider):
    """The answer to GetProviderSchema, from a provider's part of `terraform providers schema`."""
    entries = {
        kind: [{"key": key, "value": _schema(value)} for key, value in provider[kind].items()]
        for kind in ("resource_schemas", "data_source_schemas")
    }
    message = message_classes(_MESSAGES)["GetProviderSchema"]
    reply = message(provider=_schema(provider["provider"]), **entries)
    return reply.SerializeToString()


def _always(reply):
    return lambda _request: reply


def _handler(function):
    return grpc.unary_unary_rpc_method_handler(lambda request, _context: function(request))


def _server(given, cloud):
    functions = {name: _always(b"") for name in NO_OBJECTION}
    functions["GetProviderSchema"] = _always(answer(given))
    functions |= cloud.functions(given) if cloud else {}
    methods = {name: _handler(function) for name, function in functions.items()}
    server = grpc.server(ThreadPoolExecutor(max_workers=_AT_ONCE))
    server.add_generic_rpc_handlers(
        [grpc.method_handlers_generic_handler("tfplugin6.Provider", methods)]
    )
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    return server, port


@contextmanager
def serving(schemas, cloud=None):
    """Serves every provider of `terraform providers schema -json`; yields TF_REATTACH_PROVIDERS."""
    served = {source: _server(given, cloud) for source, given in schemas.items()}
    reattach = {
        source: {
            "Protocol": "grpc",
            "ProtocolVersion": 6,
            "Pid": os.getpid(),
            "Test": True,  # Terraform kills the process otherwise
            "Addr": {"Network": "tcp", "String": f"127.0.0.1:{port}"},
        }
        for source, (_, port) in served.items()
    }
    try:
        yield json.dumps(reattach)
    finally:
        for server, _ in served.values():
            server.stop(grace=None).wait()
