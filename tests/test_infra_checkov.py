"""What checkov, which knows what is commonly forgotten in Azure, says of `infra/`: nothing."""

from __future__ import annotations

import subprocess

import pytest
from infra_module import copied, spoil
from project import ROOT

pytestmark = pytest.mark.slow

CHECKOV = ROOT / ".venv-checkov/bin/checkov"

# Named, so that another version does not bring others. Left out, each for a reason:
# - public access (59, 134, 139, 144, 189, 222; with endpoints 33, 49, 50): it can not work out
#   `!var.private`; tests/network.tftest.hcl tries that, on and off.
# - keys of one's own (117, 227; 1, 22), signed images, quarantine, several zones or regions, an SLA
#   for AKS (164-167, 170, 206, 212, 225, 233, 237): dearer, and not asked for.
# - a cluster that keeps no node (150): the spec decides.
# - nodes of its own for Kubernetes itself, ephemeral disks (226, 232), policies, logs, the driver
#   of secrets (4, 116, 172), pods of a node (168; 250 with overlay where nothing is said).
# - a login, certificates or a file share for the page (13, 17, 88): it is for all, keeps nothing.
# - logs of queues and blobs (33; 21): no queue is used, and Azure's activity log tells the rest.
# - security groups of subnets (31): these hold private endpoints, or are AKS's and App Service's.
# - an identity for Custom Vision (238), which calls nothing; two reviewers of code (ADO_1).
NAMED = {
    "CKV_AZURE": {
        "storage": (3, 34, 35, 36, 44, 190, 244),
        "vault": (42, 109, 110),
        "registry": (137, 138),
        "machines": (142, 236),
        "kubernetes": (5, 7, 115, 141, 143, 171, 246),
        "page": (14, 15, 18, 57, 63, 65, 66, 71, 72, 78, 213, 214),
    },
    "CKV2_AZURE": {"storage": (38, 40, 47), "vault": (32,)},
}


def names():
    return [
        f"{prefix}_{number}"
        for prefix, topics in NAMED.items()
        for numbers in topics.values()
        for number in numbers
    ]


@pytest.fixture
def infra(tmp_path):
    if not CHECKOV.exists():
        pytest.skip(f"LOUD: no {CHECKOV.relative_to(ROOT)}, infra/ is not checked by it")
    folder = copied(tmp_path / "infra")
    spoil(folder / "tests/terraform.tfvars", "private = false", "private = true")
    return folder


def said(folder):
    """Checks that failed, each with what it is about."""
    words = ["--skip-download", "--framework", "terraform", "--compact", "--quiet"]
    words += ["--var-file", str(folder / "tests/terraform.tfvars"), "--check", ",".join(names())]
    answer = subprocess.run(
        [CHECKOV, "-d", folder, *words], capture_output=True, text=True, check=False
    )
    assert bool(answer.returncode) == ("FAILED for resource" in answer.stdout), answer
    return answer.stdout


def test_there_is_nothing_to_say(infra):
    assert "FAILED" not in said(infra)


def test_what_is_open_is_seen(infra):
    spoil(
        infra / "main.web.tf",
        "  site_config {",
        "  site_config {\n    remote_debugging_enabled = true",
    )
    spoil(
        infra / "bootstrap/main.tf",
        'container_access_type = "private"',
        'container_access_type = "blob"',
    )
    found = said(infra)
    assert "CKV_AZURE_72" in found
    assert "CKV_AZURE_34" in found
    assert found.count("FAILED for resource") == 2
