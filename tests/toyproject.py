"""A project of toy kinds in a folder of its own, driven through the command line like a user's."""

import importlib
import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import chdir, contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

from mlops_spec import kinds
from mlops_spec.cli import main

TOY = Path(__file__).parent / "toy"
KINDS = ("name=toy", "data=toy", "training=toy", "target=toy")


@dataclass
class Project:
    path: Path
    apart: bool = False  # every command a process, for what outlives the one that started it

    def run(self, *words: str, **more) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "mlops_spec", *words]
        more.setdefault("env", environment())
        return subprocess.run(
            command, cwd=self.path, capture_output=True, text=True, check=False, **more
        )

    def call(self, *words: str) -> subprocess.CompletedProcess[str]:
        """The same without a process of its own, which costs as much as ten command lines."""
        if self.apart:
            return self.run(*words)
        out, err = io.StringIO(), io.StringIO()
        with working_in(self.path), redirect_stdout(out), redirect_stderr(err):
            code = main(words)
        return subprocess.CompletedProcess(words, int(code), out.getvalue(), err.getvalue())

    def start(self, *words: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "mlops_spec", *KINDS, *words]
        return subprocess.Popen(
            command,
            cwd=self.path,
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def events(self, *words: str) -> list[dict]:
        answer = self.call(*KINDS, "--json", *words)
        return [json.loads(line) for line in answer.stdout.splitlines()]

    def ran(self, *words: str) -> list[str]:
        """Ids of the steps that a command really performed."""
        return [event["id"] for event in self.events(*words) if event["event"] == "started"]

    def planned(self, *words: str) -> dict[str, tuple[str, str]]:
        """Step id -> status and reason, as `plan` says."""
        answer = self.call("plan", "--json", *KINDS, *words)
        assert answer.returncode == 0, answer.stderr
        steps = json.loads(answer.stdout)["steps"]
        return {step["step"]["id"]: (step["status"], step["why"]) for step in steps}

    def tree(self) -> set[str]:
        return {str(path.relative_to(self.path)) for path in self.path.rglob("*")}

    def result_files(self) -> dict[str, Path]:
        """Step id -> its result.json, for a project where each step ran once."""
        found = self.path.glob(".mlops/steps/*/result.json")
        return {json.loads(path.read_text())["id"]: path for path in found}


@contextmanager
def working_in(folder: Path) -> Iterator[None]:
    """In a project's folder; what its kinds add to our packages is forgotten afterwards."""
    packages = [importlib.import_module(name) for name in kinds.GROUPS.values()]
    paths = [list(package.__path__) for package in packages]
    try:
        with chdir(folder):
            yield
    finally:
        for package, path in zip(packages, paths, strict=True):
            package.__path__[:] = path
        for name, module in list(sys.modules.items()):
            if str(getattr(module, "__file__", "")).startswith(f"{folder}/"):
                del sys.modules[name]


def environment() -> dict[str, str]:
    """Ours, with compiled modules kept: starting is what these tests do most."""
    return {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}


def make(path: Path) -> Project:
    shutil.copytree(TOY, path, ignore=shutil.ignore_patterns("__pycache__"))
    return Project(path)


def copy(project: Project, path: Path) -> Project:
    shutil.copytree(project.path, path)
    return Project(path)


def lines_until(process: subprocess.Popen[str], text: str) -> Iterator[str]:
    """Reads a process's output up to the line with a text; fails when it ends without."""
    assert process.stdout
    for line in process.stdout:
        yield line
        if text in line:
            return
    raise AssertionError(f"the process ended without saying {text!r}")


def processes_in(path: Path) -> list[int]:
    """Processes whose working folder is inside a project."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                if (entry / "cwd").resolve().is_relative_to(path.resolve()):
                    found.append(int(entry.name))
            except OSError:
                continue
    return found
