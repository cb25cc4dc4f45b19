"""Toy projects whose jobs run in an emulated workspace, each in one of its own."""

import json
import re
import time
from contextlib import contextmanager
from dataclasses import dataclass

import emulation
from toyproject import Project, lines_until, make

AZURE = ("compute=azureml_cpu", "workspace=emulator", "target=none")
TOY = ("data=toy", "training=toy")


@dataclass
class Runs:
    """One project, and the emulator that its jobs run in."""

    project: Project
    azure: emulation.Emulator
    name: str

    def words(self, *more):
        state = f"workspace.state={self.azure.state}"
        return (f"name={self.name}", *TOY, *AZURE, state, *more)

    def run(self, *more):
        """A whole run: its exit code and what it said, both streams one after the other."""
        answer = self.project.call(*self.words(*more))
        return answer.returncode, answer.stdout + answer.stderr

    def train(self, *more, faults=()):
        """A run in which the job after the training is not worth its time; what it said."""
        self.azure.faults(*faults, {"kind": "fail", "on": f"{self.name}-evaluate"})
        code, said = self.run(*more)
        assert code == 5, said
        return said

    def start(self, *more):
        """A run as a process of its own."""
        return self.project.start(*self.words(*more))

    def results(self):
        """The last run's results by step."""
        found = self.project.path.glob("runs/*/results.jsonl")
        last = max(found, key=lambda path: path.stat().st_mtime_ns)
        return {one["id"]: one for one in map(json.loads, last.read_text("utf-8").splitlines())}

    def status(self, step="train"):
        return self.results()[step]["status"]

    def answers(self, method, part):
        """What requests to addresses with a part in them were answered."""
        return [one["status"] for one in self.exchanges(method, part)]

    def exchanges(self, method, part):
        """Requests to addresses with a part in them, of any project."""
        return [
            one
            for one in emulation.exchanges(self.azure.state)
            if one["method"] == method and part in one["url"]
        ]

    def submitted(self):
        """Names of the jobs of this project that were taken, one for each time."""
        return [
            one["url"].split("/jobs/")[1].partition("?")[0]
            for one in self.exchanges("PUT", f"/jobs/{self.name}-")
            if one["status"] in (200, 201)
        ]

    def job(self):
        """The name of the last training that was submitted."""
        begin = f"{self.name}-train-"
        return [name for name in self.submitted() if name.startswith(begin)][-1]

    def client(self):
        """Azure's SDK for the project's own workspace."""
        from azure.ai.ml import MLClient
        from azure.identity import DefaultAzureCredential

        url = self.exchanges("PUT", f"/jobs/{self.name}-")[-1]["url"]
        words = re.search(
            "/subscriptions/([^/]+)/resourceGroups/([^/]+)/.*/workspaces/([^/]+)", url
        )
        assert words
        return MLClient(DefaultAzureCredential(), *words.groups(), enable_telemetry=False)

    def of_training(self):
        """The same of the training alone, without what is different for each project."""
        begin = f"{self.name}-train-"
        names = [name for name in self.submitted() if name.startswith(begin)]
        return [name.removeprefix(begin)[12:] for name in names]


@contextmanager
def emulated(folder):
    """An emulator for many projects, whose jobs do not wait for each other."""
    with emulation.running(folder / "state", "--parallel", "4") as found:
        yield found


def new(azure, request, folder):
    """A new project for a test; no fault is left of another's."""
    azure.faults()
    number = request.session.items.index(request.node)
    return Runs(make(folder / "project"), azure, f"toy{number}")


def waited(condition, seconds=90):
    """Waits until something is so."""
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.1)


def killed(process, text):
    """Kills a run when it has said something; what it said."""
    said = list(lines_until(process, text))
    process.kill()
    process.communicate(timeout=60)
    return "".join(said)
