"""Toy projects whose workspace is in Azure, as far as they know; and secrets that were left."""

import re
from contextlib import contextmanager
from itertools import count

import emulation

from mlops_spec import names
from mlops_spec.azure import client
from mlops_spec.azure import emulation as engine
from mlops_spec.azure.place import Place
from mlops_spec.where import AzureWorkspace

TOY = ("name=toy", "data=toy", "training=toy", "target=none")
LEARNING = "Microsoft.MachineLearningServices/workspaces"
# The built-in role AzureML Data Scientist
SCIENTIST = {
    "actions": [f"{LEARNING}/*/{verb}" for verb in ("read", "action", "delete", "write")],
    "notActions": [
        f"{LEARNING}/delete",
        f"{LEARNING}/write",
        f"{LEARNING}/computes/*/write",
        f"{LEARNING}/computes/*/delete",
        f"{LEARNING}/computes/listKeys/action",
        f"{LEARNING}/listKeys/action",
    ],
}
_SECRET = re.compile(
    rb"ey[JK][\w-]{10,}\.[\w-]{10,}\.[\w-]{5,}"  # a token
    rb"|\bsig(?:=|%3D)(?!\*\*\*)[\w%+/=-]{8,}"  # a signature
    rb"|AccountKey="
)
_numbers = count(1)


def place(prefix, subscription=emulation.SUBSCRIPTION):
    """The workspace of a toy project with this prefix."""
    where = {"subscription_id": subscription, "location": "westeurope", "prefix": prefix}
    spec = AzureWorkspace(kind="azure", **where, names={})
    found = names.of("toy", spec)
    return Place(subscription, found.resource_group, found.workspace)


def words(prefix, *more):
    """A command line about it."""
    where = f"workspace.subscription_id={emulation.SUBSCRIPTION}"
    azure = ("compute=azureml_cpu", "workspace=azure", where, f"workspace.prefix={prefix}")
    return (*TOY, *azure, *more)


def fresh():
    """The prefix of a workspace that was made just now, and in which nothing is."""
    prefix = f"t{next(_numbers)}"
    engine.ensure_workspace(place(prefix), client.token(), client.MANAGEMENT)
    return prefix


@contextmanager
def running(state):
    """An emulator, and this process sent there as it is sent to Azure."""
    with emulation.running(state) as found:
        try:
            yield found
        finally:
            client._credential.cache_clear()


def leaks(folder, *secrets):
    """Where below a folder a token, a signature or one of some secrets is."""
    found = []
    for path in sorted(folder.rglob("*")):
        own = "code" in path.relative_to(folder).parts  # sources that jobs get: redaction.py
        if path.is_file() and not own:
            content = path.read_bytes()
            known = [secret for secret in secrets if secret.encode() in content]
            if known or _SECRET.search(content):
                found.append(str(path.relative_to(folder)))
    return found
