"""The step of the infrastructure as `run` plans and performs it, in a cloud that is made up."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace

import pytest
from cloud_provider import Cloud
from infra_module import provider_schemas, surroundings
from project import TERRAFORM, shipped_composer
from schema_provider import serving

from mlops_spec import infra_step, run, store
from mlops_spec.cli import main
from mlops_spec.plan import plan
from mlops_spec.validate import parse

WORDS = ["+experiment=quickstart", *TERRAFORM, "infra.remote_state=false"]
CLUSTER = "azurerm_machine_learning_compute_cluster"
GROUP, STORAGE = "azurerm_resource_group", "azurerm_storage_account"
REPLACING = {(GROUP, "location"), (STORAGE, "location"), (CLUSTER, "vm_size")}


class View:
    """Hears what a step says."""

    def __init__(self):
        self.lines = []

    def started(self, planned):
        """It is known already."""

    def line(self, _step_id, text):
        self.lines.append(text)


@contextmanager
def cloud(folder, *words):
    """A cloud that is asked by whoever runs Terraform here: the folder becomes the current one."""
    schemas = provider_schemas()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr("mlops_spec.compose.Composer", shipped_composer)
        made = Cloud(REPLACING)
        with serving(schemas, made) as reattach:
            for name, value in surroundings(reattach).items():
                patch.setenv(name, value)
            patch.setenv("ARM_CLIENT_ID", "me")
            assert main(["render", *WORDS, *words]) == 0
            yield made
            made.release()


def wanted(*more):
    composition = shipped_composer().compose([*WORDS, *more])
    spec = parse(composition.values, composition.origins, composition.problems)
    return spec, composition.origins


def planned(*more, ask=False):
    """The step of the infrastructure with the facts it follows from, as `run` plans it.

    The workspace itself is only asked with `ask`: there is no Azure.
    """
    spec, origins = wanted(*more)
    now = run.read_facts(spec, ask=ask)
    now = now if ask else replace(now, infra=infra_step.look(spec, must=True))
    return plan(spec, now, origins).steps[0], now


def shown(*more):
    """The step as the verb `plan` has it."""
    spec, origins = wanted(*more)
    return plan(spec, run.read_facts(spec, ask=False, compare=True), origins).steps[0]


def performed(step, now, view=None):
    store.open_root()
    return run._perform(step, "quickstart", now, view or View(), None)


def applied(*more):
    if more:
        assert main(["render", *WORDS, *more]) == 0
    result = performed(*planned(*more))
    assert result.status == "done", result.error
    return result
