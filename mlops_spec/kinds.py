"""How YAML names code: `kind: NAME` is a module in a known folder, whose listing is the allow-list.

Two folders count for each group: the installed one and the one of the same name in the project,
that is, the working folder. Only the chosen module is ever imported. Names that start with an
underscore are helpers, not kinds.
"""

from __future__ import annotations

import ast
import hashlib
import importlib
import importlib.util
import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from mlops_spec.errors import MlopsError, suggest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

# config group -> the package whose modules are its kinds
GROUPS = {
    "data": "trainers.datasets",
    "training": "trainers",
    "benchmark": "trainers.benchmarks",
    "target": "deployers",
    "frontend": "deployers.frontends",
}

_ROOT = Path(__file__).resolve().parent.parent
_OWN = ("mlops_spec", "trainers", "deployers")
# Modules that carry a request but do not perform it: a change in them leaves finished work valid.
_CARRIERS = {
    f"mlops_spec.{name}" for name in ("spec", "step_spec", "steps", "plan", "kinds", "errors")
}


class UnknownKindError(MlopsError):
    """YAML names a kind that no known folder holds."""

    def __init__(self, group: str, kind: object) -> None:
        known = names(group)
        super().__init__(
            f"unknown kind {kind!r}{suggest(str(kind), known)} (known: {', '.join(known)})"
        )


def folders(group: str) -> list[Path]:
    """The folders that hold a group's kinds: the project's own and the installed one."""
    relative = Path(*GROUPS[group].split("."))
    return [folder for root in roots() if (folder := root / relative).is_dir()]


def roots() -> list[Path]:
    """Where our packages are looked for: the project's folder first, then the installation."""
    return list(dict.fromkeys((Path.cwd(), _ROOT)))


def names(group: str) -> list[str]:
    """The kinds of a group: what its folders list."""
    found = {path.stem for folder in folders(group) for path in folder.glob("[!_]*.py")}
    return sorted(found)


def load(group: str, kind: str) -> ModuleType:
    """Imports the module of one kind.

    Raises:
        UnknownKindError: No known folder lists it.
    """
    if kind not in names(group):
        raise UnknownKindError(group, kind)
    name = f"{GROUPS[group]}.{kind}"
    _extend(GROUPS[group])
    loaded = sys.modules.get(name)
    if loaded and loaded.__file__ != str(_source(name)):
        del sys.modules[name]  # of another folder that this process worked in
    try:
        return importlib.import_module(name)
    except (SyntaxError, ImportError) as error:
        message = f"{_source(name)} can not be imported: {error}"
        raise MlopsError(message) from error


def _extend(package_name: str) -> None:
    """Lets a package also find modules in the project's folder of the same name."""
    name = package_name.partition(".")[0]
    top = importlib.import_module(name)
    if top.__file__ is None or Path(top.__file__).resolve().parent != _ROOT / name:
        message = f"{top.__file__} hides the installed package {name}"
        raise MlopsError(message, "delete that file: a folder of kinds needs none")
    package = importlib.import_module(package_name)
    local = Path.cwd().joinpath(*package_name.split("."))
    if local.is_dir() and str(local) not in package.__path__:
        package.__path__.insert(0, str(local))  # the project's own kinds come first


def code(module_name: str) -> dict[str, str]:
    """The code that performs a step: module -> digest, for a module and all it imports of ours.

    Imports are read from the source, inside functions too, and nothing is executed. A package
    counts with the files beside its `__init__.py` that are no modules, such as templates.
    """
    pending, digests = [module_name], {}
    while pending:
        name = pending.pop()
        if name in digests or name in _CARRIERS:
            continue
        path = _source(name)
        if path is None:
            continue
        package = name if path.name == "__init__.py" else name.rpartition(".")[0]
        parts = (path, *_beside(path))
        digests[name], imported = _read(parts, package, max(p.stat().st_mtime_ns for p in parts))
        pending.extend(imported)
    return dict(sorted(digests.items()))


def _source(name: str) -> Path | None:
    relative = Path(*name.split("."))
    for root in roots():
        for path in (root / relative.with_suffix(".py"), root / relative / "__init__.py"):
            if path.is_file():
                return path
    return None


def _beside(path: Path) -> list[Path]:
    if path.name != "__init__.py":
        return []
    return sorted(p for p in path.parent.iterdir() if p.is_file() and p.suffix != ".py")


@cache
def _read(parts: tuple[Path, ...], package: str, _mtime_ns: int) -> tuple[str, tuple[str, ...]]:
    source, *others = (path.read_bytes() for path in parts)
    digest = hashlib.sha256(b"".join([source, *others])).hexdigest()
    return digest, tuple(_imports(ast.parse(source), package))


# Where a statement holds others; expressions hold none, and nothing is imported in them.
_WITHIN = ("body", "handlers", "cases", "orelse", "finalbody")


def _executed(tree: ast.AST) -> Iterator[ast.AST]:
    """All statements, without those below `if TYPE_CHECKING:`, which nothing performs."""
    pending = [tree]
    while pending:
        node = pending.pop()
        yield node
        for_types = isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for name in ("orelse",) if for_types else _WITHIN:
            pending.extend(getattr(node, name, ()))


def _imports(tree: ast.Module, package: str) -> Iterator[str]:
    """Modules of ours that a module of `package` imports, anywhere but for types alone."""
    for node in _executed(tree):
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            around = package.split(".")[: 1 - node.level or None] if node.level else []
            base = ".".join(filter(None, [*around, node.module]))
            modules = [base, *(f"{base}.{alias.name}" for alias in node.names)]
        else:
            continue
        yield from (name for name in modules if name.split(".")[0] in _OWN)
