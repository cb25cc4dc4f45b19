"""The configuration files on disk: folders, groups, and faults in their defaults lists."""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from typing import TYPE_CHECKING

from mlops_spec.errors import Problem, suggest
from mlops_spec.origins import display, read_yaml

if TYPE_CHECKING:
    from collections.abc import Iterator


def installed() -> Path:
    """The configuration that ships."""
    return shipped("conf")


def shipped(name: str) -> Path:
    """A folder that ships: inside the package in a wheel, beside it in the repository."""
    package = Path(__file__).resolve().parent
    inside = package / name
    return inside if inside.is_dir() else package.parent / name


def folders() -> list[Path]:
    """Folders that hold configuration, the first one winning: the project's own, the installed."""
    candidates = [Path.cwd() / "conf", installed()]
    return [folder for folder in dict.fromkeys(candidates) if folder.is_dir()]


def yaml_files(folder: Path) -> list[Path]:
    """Every configuration file below a folder."""
    return sorted(p for p in folder.rglob("*.yaml") if "schema" not in p.relative_to(folder).parts)


def groups() -> dict[str, list[str]]:
    """Every group with its options, from the folder listings."""
    found: dict[str, set[str]] = {}
    for folder in folders():
        for path in yaml_files(folder):
            group = path.parent.relative_to(folder).as_posix()
            if group != ".":
                found.setdefault(group, set()).add(path.stem)
    return {group: sorted(options) for group, options in sorted(found.items())}


def find(name: str) -> Path:
    """The file of an option, such as `model/small_cnn`, in the first folder that has it."""
    return next(path for f in folders() if (path := f / f"{name}.yaml").is_file())


def problems(error: Exception, known: dict[str, list[str]]) -> list[Problem]:
    """What is wrong with the defaults lists, or else Hydra's refusal in one line."""
    paths = itertools.chain.from_iterable(yaml_files(folder) for folder in folders())
    found = [problem for path in paths for problem in _defaults_problems(path, known)]
    if found:
        return found
    text = " ".join(str(error).split())
    return [Problem(f"{display(folders()[0])}", "defaults", text)]


def _defaults_problems(path: Path, known: dict[str, list[str]]) -> Iterator[Problem]:
    """Entries of one file's defaults list that name no group or no option of it."""
    parsed = read_yaml(path)
    entries = parsed.values.get("defaults", [])
    if not isinstance(entries, list):
        where = f"{display(path)}:{parsed.lines['defaults']}"
        yield Problem(where, "defaults", "should be a list of `- GROUP: OPTION`")
        return
    for i, entry in enumerate(entries):
        where = f"{display(path)}:{parsed.lines[f'defaults.{i}']}"
        for key, option in entry.items() if isinstance(entry, dict) else ():
            group = re.sub(r"^(override|optional)\s+", "", str(key)).lstrip("/").partition("@")[0]
            if group not in known:
                yield Problem(where, "defaults", f"unknown group {group!r}{suggest(group, known)}")
            elif isinstance(option, str) and option not in known[group]:
                near = suggest(option, known[group])
                yield Problem(where, "defaults", f"unknown option {option!r} of {group}{near}")
