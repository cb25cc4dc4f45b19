"""What Terraform says, word for word, and what people are told."""

from __future__ import annotations

import pytest

from mlops_spec.terraform.refusals import refusal

LOCK = """Error message: {why}
Lock Info:
  ID:        05b1a450-ab4b-590b-28e4-2c6831d8df8c
  Path:      terraform.tfstate
  Operation: OperationTypeApply
  Who:       ada@laptop
  Version:   1.11.4
  Created:   2026-11-28 13:05:24.742655118 +0000 UTC
  Info:


Terraform acquires a state lock to protect the state from being written
by multiple users at the same time."""
SAID = {
    "a lock": (
        ("Error acquiring the state lock", LOCK.format(why="resource temporarily unavailable")),
        "ada@laptop works on the same infrastructure since 2026-11-28 13:05:24",
        "force-unlock 05b1a450-ab4b-590b-28e4-2c6831d8df8c",
    ),
    "a lock of nobody": (
        ("Error acquiring the state lock", "Error message: 403 AuthorizationPermissionMismatch"),
        "can not be locked",
        "again",
    ),
    "a stale plan": (
        (
            "Saved plan is stale",
            (
                "The given plan file can no longer be applied because the state was changed by"
                " another operation after the plan was created."
            ),
        ),
        "nothing was applied",
        "it compares anew",
    ),
    "another state": (
        (
            "Saved plan does not match the given state",
            (
                "The given plan file can not be applied because it was created from a different"
                " state lineage."
            ),
        ),
        "nothing was applied",
        "it compares anew",
    ),
    "protected data": (
        (
            "Instance cannot be destroyed",
            (
                "Resource azurerm_storage_account.this has lifecycle.prevent_destroy set, but the"
                " plan calls for this resource to be destroyed."
            ),
        ),
        "data or models would be deleted",
        "docs/infrastructure.md",
    ),
    "no login": (
        (
            (
                "unable to build authorizer for Resource Manager API: could not configure AzureCli"
                ' Authorizer: could not parse Azure CLI version: launching Azure CLI: exec: "az":'
                " executable file not found in $PATH"
            ),
            "",
        ),
        "nobody is logged in",
        "az login",
    ),
    "no right": (
        (
            (
                "creating Role Assignment: unexpected status 403 (403 Forbidden) with error:"
                " AuthorizationFailed: The client 'x' does not have authorization to perform action"
            ),
            "",
        ),
        "this login may not do that",
        "Role Based Access Control Administrator",
    ),
    "a name that is taken": (
        (
            (
                'A resource with the ID "/subscriptions/s/resourceGroups/g" already exists - to be'
                " managed via Terraform this resource needs to be imported into the State."
            ),
            "",
        ),
        "something of this name exists",
        "terraform import",
    ),
    "no size": (
        ("SkuNotAvailable: The requested VM size is not available in location westeurope.", ""),
        "the region has not this size",
        "workspace.location",
    ),
    "no quota": (
        ("ClusterCoreQuotaReached: Operation cannot be completed without additional quota", ""),
        "the quota is used up",
        "Quotas",
    ),
    "no providers": (
        (
            "Failed to query available provider packages",
            (
                "Could not retrieve the list of available versions for provider hashicorp/azurerm:"
                " could not connect to registry.terraform.io"
            ),
        ),
        "providers can not be downloaded",
        "mirror",
    ),
    "no store of states": (
        (
            (
                "Failed to get existing workspaces: containers.Client#ListBlobs: Failure"
                " responding to request: StatusCode=404 -- ContainerNotFound"
            ),
            "",
        ),
        "nobody has made it",
        "terraform -chdir=infra/bootstrap apply",
    ),
    "a variable": (
        (
            "Invalid value for variable",
            (
                "names.key_vault: 3-24 letters.\\n\\nThis was checked by the validation rule at"
                " variables.tf:20,3-13."
            ),
        ),
        "Terraform: Invalid value for variable: names.key_vault: 3-24 letters.",
        "again",
    ),
}


@pytest.mark.parametrize(("said", "message", "cure"), SAID.values(), ids=SAID.keys())
def test_an_error_is_one_message_with_its_cure(said, message, cure):
    summary, detail = said
    found = refusal([{"summary": summary, "detail": detail}, {"summary": "what follows from it"}])
    assert message in found.message
    assert cure in found.cure


def test_a_secret_in_an_error_is_not_shown():
    key = f"AccountKey={'c2VjcmV0' * 5}"
    found = refusal([{"summary": f"DefaultEndpointsProtocol=https;{key}", "detail": ""}])
    assert "c2VjcmV0" not in str(found)


def test_the_resource_is_named():
    found = refusal([{"summary": "no", "detail": "x" * 2000, "address": "azurerm_key_vault.this"}])
    assert found.message.startswith("Terraform: azurerm_key_vault.this: no: xxx")
    assert len(found.message) < 700


def test_a_program_that_ends_without_a_word_is_said():
    assert "ended without a word" in refusal([]).message
