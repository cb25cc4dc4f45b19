"""`show`: the resolved spec, and for a key where it was set and what that shadowed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from mlops_spec.errors import Problem, SpecError, suggest
from mlops_spec.origins import COMMAND_LINE, where_is
from mlops_spec.spec import leaves
from mlops_spec.view import echo, is_chosen, yaml_text

if TYPE_CHECKING:
    from mlops_spec.compose import Composition
    from mlops_spec.spec import Spec
    from mlops_spec.view import Style


def show(key: str, spec: Spec, composition: Composition, style: Style) -> None:
    """Prints a value of the spec, or all of it for an empty key.

    Raises:
        SpecError: There is no such key.
    """
    values = spec.model_dump(mode="json")
    value = _at(values, key, composition)
    if style.json:
        echo(json.dumps(_document(key, value, composition), ensure_ascii=False))
    elif isinstance(value, dict):
        _table(key, value, composition, style)
    else:
        _history(key, value, composition, style)


def _at(values: dict[str, Any], key: str, composition: Composition) -> object:
    node: object = values
    for name in key.split(".") if key else []:
        if not isinstance(node, dict) or name not in node:
            near = suggest(key, composition.origins)
            raise SpecError([Problem(COMMAND_LINE, key, f"no such key in the spec{near}")])
        node = node[name]
    return node


def _document(key: str, value: object, composition: Composition) -> dict[str, Any]:
    keys = [name for name, _ in leaves(value, key)]
    origins = {
        name: [vars(setting) for setting in composition.origins.get(name, [])] for name in keys
    }
    return {"key": key, "value": value, "origins": origins}


def _table(key: str, values: dict[str, Any], composition: Composition, style: Style) -> None:
    """Every value below a key with its origin; what only repeats a default is dimmed."""
    rows = [(name, yaml_text(value)) for name, value in leaves(values, key)]
    names = max(len(name) for name, _ in rows)
    texts = min(32, max(len(text) for _, text in rows))
    for name, text in rows:
        where = where_is(composition.origins, name)
        line = f"{name:<{names}}  {text:<{texts}}  "
        echo((line if is_chosen(where) else style.paint(line, "dim")) + style.paint(where, "dim"))


def _history(key: str, value: object, composition: Composition, style: Style) -> None:
    echo(f"{key} = {style.paint(yaml_text(value), 'bold')}")
    settings = composition.origins.get(key, [])
    if not settings:
        echo(f"  set with {where_is(composition.origins, key) or 'its section'}")
    for i, setting in enumerate(reversed(settings)):
        word = "set by" if i == 0 else "shadows"
        echo(f"  {word:<7} {setting.where}  ({yaml_text(setting.value)})")
