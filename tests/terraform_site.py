"""Terraform in a folder with a copy of infra/, against a cloud that is only made up."""

from __future__ import annotations

import json
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass
from subprocess import PIPE
from typing import TYPE_CHECKING

from infra_module import surroundings
from infra_variables import rendered
from schema_provider import serving

if TYPE_CHECKING:
    from pathlib import Path

    from cloud_provider import Cloud


@dataclass(frozen=True)
class Site:
    """A folder that Terraform runs in, against a cloud."""

    folder: Path
    env: dict[str, str]
    cloud: Cloud

    def start(self, *words):
        words = ["terraform", f"-chdir={self.folder}", *words]
        return subprocess.Popen(words, env=self.env, stdout=PIPE, stderr=PIPE, text=True)

    def run(self, *words):
        return ended(self.start(*words))

    def asks_for(self, variables):
        """Writes the rendered variables, with these instead of some."""
        values = json.dumps({**rendered(), **variables})
        (self.folder / "terraform.tfvars.json").write_text(values, "utf-8")

    def plan(self, **variables):
        """Plans into `saved`; the addresses and what is to happen to them."""
        self.asks_for(variables)
        answer = self.run("plan", "-json", "-detailed-exitcode", "-out=saved")
        assert answer.returncode in (0, 2), answer
        changes = {
            line["change"]["resource"]["addr"]: line["change"]["action"]
            for line in lines(answer, "planned_change")
        }
        assert (answer.returncode == 2) == bool(changes)  # no output changes alone
        return changes

    def apply(self):
        """Applies `saved`; what Terraform objects to."""
        return objections(self.run("apply", "-json", "saved"))

    def half_way(self):
        """An apply of `saved` that has begun with the resource group and goes no further."""
        self.cloud.delay("azurerm_resource_group", 120)
        first = self.start("apply", "-json", "saved")
        assert self.cloud.delayed.wait(120)
        return first

    def state(self):
        """The addresses of what is in the state."""
        answer = self.run("state", "list")
        assert answer.returncode == 0, answer
        return {one for one in answer.stdout.split() if not one.startswith("data.")}


def ended(process):
    out, err = process.communicate(timeout=60)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def lines(answer, kind):
    """What a command with `-json` said of a kind."""
    said = [json.loads(line) for line in answer.stdout.splitlines()]
    return [line for line in said if line["type"] == kind]


def objections(answer):
    """Summary and detail of each error of a command, none where it went well."""
    found = [line["diagnostic"] for line in lines(answer, "diagnostic")]
    assert bool(answer.returncode) == bool(found), answer
    return [(one["summary"], one["detail"]) for one in found]


@contextmanager
def opened(folder, schemas, cloud):
    """A site in a folder that is there; no apply goes on when it is left."""
    with serving(schemas, cloud) as reattach:
        site = Site(folder, surroundings(reattach), cloud)
        assert site.run("init", "-input=false").returncode == 0
        try:
            yield site
        finally:
            cloud.release()
