"""What Azure tells of rights and machines, compared with what a spec needs; and retired images."""

from contextlib import chdir

import cloud
import pytest
from toyproject import make

from mlops_spec.azure import images, machines, rights
from mlops_spec.compose import Composer
from mlops_spec.validate import parse

WORKSPACE = cloud.LEARNING
OPERATOR = {"actions": [f"{WORKSPACE}/computes/*", f"{WORKSPACE}/notebooks/vm/*"], "notActions": []}
READER = {"actions": ["*/read"], "notActions": []}
CONTRIBUTOR = {"actions": ["*"], "notActions": ["Microsoft.Authorization/*/Write"]}
JOB, CLUSTER = f"{WORKSPACE}/jobs/write", f"{WORKSPACE}/computes/write"


@pytest.mark.parametrize(
    ("granted", "wanting"),
    [
        ([CONTRIBUTOR], []),
        ([cloud.SCIENTIST], [(rights.OPERATOR, (CLUSTER,))]),
        ([cloud.SCIENTIST, OPERATOR], []),
        ([OPERATOR], [(rights.SCIENTIST, (JOB,))]),
        ([READER], [(rights.SCIENTIST, (JOB,)), (rights.OPERATOR, (CLUSTER,))]),
        ([], [(rights.SCIENTIST, (JOB,)), (rights.OPERATOR, (CLUSTER,))]),
        ([{"actions": [JOB.lower()]}, {"actions": [CLUSTER], "notActions": None}], []),
        # What one assignment takes away, another may give
        ([{"actions": ["*"], "notActions": ["*/write"]}, {"actions": [JOB, CLUSTER]}], []),
    ],
)
def test_which_roles_bring_the_rights_that_are_wanting(granted, wanting):
    assert [(lack.role, lack.rights) for lack in rights.lacking([JOB, CLUSTER], granted)] == wanting


def test_a_dot_in_a_right_is_a_dot():
    granted = [{"actions": [JOB.replace(".", "x")]}]
    assert len(rights.lacking([JOB], granted)) == 1


IMAGES = {
    "mcr.microsoft.com/azureml/openmpi4.1.0-ubuntu20.04:latest": "2025-01",
    "mcr.microsoft.com/azureml/openmpi4.1.0-ubuntu20.04:20250202.v1": "2025-01",
    "mcr.microsoft.com/azureml/openmpi3.1.2-ubuntu18.04": "2023-05",
    "mcr.microsoft.com/azureml/openmpi4.1.0-cuda11.8-cudnn8-ubuntu22.04:latest": "2025-09",
    "mcr.microsoft.com/azureml/base:openmpi3.1.2-ubuntu16.04": "2021-04",
    "mcr.microsoft.com/azureml/openmpi4.1.0-ubuntu22.04:latest": "",
    "mcr.microsoft.com/azureml/openmpi5.0-cuda12.4-ubuntu22.04:latest": "",
    "example.azurecr.io/openmpi4.1.0-ubuntu20.04:latest": "",
    "ubuntu:20.04": "",
}


@pytest.mark.parametrize("image", IMAGES)
def test_retired_images_are_known(image):
    assert images.retired(image) == IMAGES[image]
    assert images.retired(images.instead(image)) == ""
    assert ("cuda" in image) == ("cuda" in images.instead(image))


@pytest.fixture
def compute(tmp_path):
    return composed(tmp_path).compute


def composed(folder, *words):
    project = make(folder / "composed")
    with chdir(project.path):
        made = Composer().compose(cloud.words("p", "target=none", *words))
        return parse(made.values, made.origins, made.problems)


def usage(name, kind, used, limit, words="it"):
    kind = f"Microsoft.MachineLearningServices/{kind}/usages"
    names = {"value": name, "localizedValue": words}
    return {"type": kind, "name": names, "currentValue": used, "limit": limit}


FAMILY, SIZE = "standardDSv2Family", {"name": "s", "family": "standardDSv2Family", "vCPUs": 4}
DEDICATED, LOW = "vmFamily/dedicatedCores", "vmFamily/lowPriorityCores"
TOTAL = "totalLowPriorityCores"
# usages, machines that run -> what is said at the end of the text, and the cure's begin; the
# cluster of the spec has at most 2 machines of 4 vCPUs
QUOTA = {
    "enough": ([usage("TotalLowPriorityCores", TOTAL, 0, 8)], 0, "0 of 8 are used", ""),
    "one machine": (
        [usage("TotalLowPriorityCores", TOTAL, 4, 9)],
        0,
        "4 of 9 are used",
        "set compute.max_nodes=1, or ask for more",
    ),
    "nothing left": (
        [usage("TotalLowPriorityCores", TOTAL, 9, 9)],
        0,
        "9 of 9 are used",
        "choose another compute.vm_size or tier, or ask",
    ),
    "our own machines run": (
        [usage("TotalLowPriorityCores", TOTAL, 8, 8)],
        2,
        "8 of 8 are used",
        "",
    ),
    "no limit": ([usage(FAMILY, LOW, 0, -1)], 0, "nothing limits them", ""),
    "the least counts": (
        [usage(FAMILY, LOW, 0, 100), usage("TotalLowPriorityCores", TOTAL, 0, 3)],
        0,
        "0 of 3 are used",
        "choose another",
    ),
    "dedicated ones are others": (
        [usage(FAMILY, DEDICATED, 0, 0), usage("TotalLowPriorityCores", TOTAL, 0, 8)],
        0,
        "0 of 8 are used",
        "",
    ),
    "another family": ([usage("standardDFamily", LOW, 0, 0)], 0, "not known", ""),
}


@pytest.mark.parametrize("name", QUOTA)
def test_quota_is_compared_with_the_machines_that_are_wanted(compute, name):
    usages, running, said, cure = QUOTA[name]
    text, found = machines.quota(compute, SIZE, usages, running)
    assert said in text
    assert found.startswith(cure)
    assert bool(found) == bool(cure)


def test_dedicated_machines_have_a_quota_of_their_own(tmp_path):
    compute = composed(tmp_path, "compute.tier=dedicated").compute
    usages = [usage(FAMILY, DEDICATED, 0, 7), usage(FAMILY, LOW, 0, 100)]
    text, cure = machines.quota(compute, SIZE, usages, 0)
    assert "2 x Standard_DS3_v2 need 8 vCPUs; 0 of 7 are used (it, Dedicated)" in text
    assert cure.startswith("set compute.max_nodes=1, ")


def test_a_size_is_there_for_clusters_and_of_the_tier(compute):
    def asked(**size):
        size = {"name": "standard_ds3_V2", "vCPUs": 4, "gpus": 0, **size}
        return machines.size(compute, machines.find(compute, [size]), "here")

    assert asked(supportedComputeTypes=["AmlCompute"])[1] == ""
    assert asked(supportedComputeTypes=["ComputeInstance"])[1] == "choose another compute.vm_size"
    assert asked(lowPriorityCapable=False)[1] == "set compute.tier=dedicated"
    text, cure = asked(name="Standard_DS3_v3")
    assert text == "here has no Standard_DS3_v2 for Azure ML"
    assert cure.startswith("choose another compute.vm_size: Standard_DS3_v3; or another ")
