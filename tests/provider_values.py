"""What a Terraform provider is told and answers: values in msgpack, shaped by a schema.

Terraform writes a value it does not know yet as an extension of msgpack, type 0, or 12 where it
knows something of it; both stay as `ExtType` here. A value of type dynamic is a list of its type,
in JSON, and itself.
"""

from __future__ import annotations

import msgpack

UNKNOWN = msgpack.ExtType(0, b"\0")


def unknown(value):
    return isinstance(value, msgpack.ExtType)


def unpacked(dynamic):
    """The value of a DynamicValue, None for one that is empty."""
    return msgpack.unpackb(dynamic.msgpack, strict_map_key=False) if dynamic.msgpack else None


def packed(value):
    return {"msgpack": msgpack.packb(value)}


def _each(mode, value, change, path):
    """What `change(value, path)` makes of each object in a nested block or attribute."""
    if value is None or unknown(value):
        return value
    if mode in ("single", "group"):
        return change(value, path)
    if mode == "map":
        return {key: change(one, (*path, key)) for key, one in value.items()}
    return [change(one, (*path, index)) for index, one in enumerate(value)]


def changed(block, values, change, path=()):
    """An object with what `change(path, attribute, value)` makes of every attribute, outside in."""
    done = {}
    for name, attribute in block.get("attributes", {}).items():
        here = (*path, name)
        done[name] = change(here, attribute, values[name])
        if inner := attribute.get("nested_type"):
            done[name] = _inside(inner, inner["nesting_mode"], done[name], change, here)
    for name, inner in block.get("block_types", {}).items():
        done[name] = _inside(
            inner["block"], inner["nesting_mode"], values[name], change, (*path, name)
        )
    return done


def _inside(block, mode, value, change, path):
    return _each(mode, value, lambda one, here: changed(block, one, change, here), path)
