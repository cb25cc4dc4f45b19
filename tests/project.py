"""Small projects for tests: files in a folder, beside the configuration of this repository."""

from __future__ import annotations

import re
from functools import cache
from itertools import zip_longest
from pathlib import Path

import pytest

from mlops_spec.cli import main
from mlops_spec.compose import Composer

ROOT = Path(__file__).resolve().parents[1]
CONF = ROOT / "conf"
SUBSCRIPTION = "11111111-2222-3333-4444-555555555555"
CLOUD = ("compute=azureml_cpu", "workspace=azure", f"workspace.subscription_id={SUBSCRIPTION}")
TERRAFORM = (*CLOUD, "infra=terraform")
EXPERIMENTS = sorted(path.stem for path in (CONF / "experiment").glob("*.yaml"))
GROUPS = {
    folder.name: sorted(path.stem for path in folder.glob("*.yaml"))
    for folder in sorted(CONF.iterdir())
    if folder.is_dir() and folder.name not in ("schema", "experiment")
}


def every_option() -> list[list[str]]:
    """Group overrides in as few lists as name every option of every group."""
    columns = ([f"{group}={option}" for option in options] for group, options in GROUPS.items())
    return [[word for word in row if word] for row in zip_longest(*columns)]


def write(folder: Path, files: dict[str, str]) -> None:
    """Writes text files below a folder."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")


def experiment(body: str, head: str = "name: mine") -> dict[str, str]:
    """An experiment `mine` of the project's own; its body starts on line 3."""
    return {"conf/experiment/mine.yaml": f"# @package _global_\n{head}\n{body}\n"}


def shipped(name: str) -> str:
    """The text of a file of this repository's configuration, such as `model/small_cnn`."""
    return (CONF / f"{name}.yaml").read_text("utf-8")


def at(name: str, start: str) -> str:
    """`file:line` of the first line of a shipped file that starts so."""
    lines = shipped(name).splitlines()
    number = next(i for i, line in enumerate(lines, 1) if line.startswith(start))
    return f"{CONF / name}.yaml:{number}"


def command_of(experiment: str, folder: Path, data: dict[str, str]) -> list[str]:
    """The words that an experiment's first lines run it by, with files and folders that exist."""
    lines = (CONF / "experiment" / f"{experiment}.yaml").read_text("utf-8").splitlines()
    command = next(line for line in lines if line.startswith("# python -m mlops_spec "))
    pairs = (word.split("=", 1) for word in command.split()[4:])
    return [f"{key}={_place(folder, value, data)}" for key, value in pairs]


def _place(folder: Path, value: str, data: dict[str, str]) -> str:
    """A file or a folder of photographs where a command says `path/to/...`; else the value."""
    if not value.startswith("path/to/"):
        return value
    path = folder / value
    if path.suffix:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("path,label\n")
    else:
        for part in ("train", "val", "test"):
            (path / (data.get(part) or "")).mkdir(parents=True, exist_ok=True)
    return str(path)


def tree(folder: Path) -> dict[str, bytes | None]:
    """All that a folder holds: path -> content, None for a folder."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
    }


def started(*_arguments):
    """Stands where work would start, in tests of what must never start any."""
    raise AssertionError("work was started")


@cache
def shipped_composer() -> Composer:
    """The composer of the shipped configuration, made once: making one takes a while."""
    assert not Path("conf").exists()
    return Composer()


def refusal(files, argv, capsys):
    """What a refused command line says; it must leave the folder as it was."""
    write(Path.cwd(), files)
    before = tree(Path.cwd())
    with pytest.MonkeyPatch.context() as patch:
        if not Path("conf").exists():
            patch.setattr("mlops_spec.compose.Composer", shipped_composer)
        code = main(argv)
    out, err = capsys.readouterr()
    assert code == 2
    assert tree(Path.cwd()) == before
    assert (out, err).count("") == 1  # people read stderr, machines stdout
    return out or err


def rows(text):
    """The columns of a message: place, key, what is wrong."""
    return [re.split(r" {2,}", line.strip(), maxsplit=2) for line in text.splitlines()]


def check(said, expected):
    """Exactly these problems, each (place, key, part of what is said)."""
    found = rows(said)
    for where, key, what in expected:
        matching = [row for row in found if row[0].startswith(where) and key in row[1:2]]
        assert len(matching) == 1, f"{where} {key} not found once in:\n{said}"
        assert what in matching[0][2]
        assert matching[0][0] == "command line" or re.search(r":\d+$", matching[0][0])
    assert len(found) == len(expected), said
