"""What Terraform says, word for word, and what people are told."""

from __future__ import annotations

import subprocess

import pytest

from mlops_spec import signing
from mlops_spec.terraform import binary
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
        "terraform-of-it force-unlock 05b1a450-ab4b-590b-28e4-2c6831d8df8c",
    ),
    "a lock of nobody": (
        ("Error acquiring the state lock", "Error message: the disk is full"),
        "can not be locked",
        "again",
    ),
    "a state that may only be read": (
        (
            "Error acquiring the state lock",
            (
                "Error message: executing request: unexpected status 403 (403 Forbidden) with"
                " AuthorizationPermissionMismatch: This request is not authorized to perform this"
                " operation using this permission."
            ),
        ),
        "this login may not read or write Terraform's state",
        "Storage Blob Data Contributor",
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
        "azurerm_storage_account.this holds data or models and would be deleted",
        "terraform-of-it untaint azurerm_storage_account.this",
    ),
    "a login that is refused": (
        (
            (
                "building account: could not acquire access token to parse claims:"
                " clientCredentialsToken: received HTTP status 401 with response:"
                ' {"error":"invalid_client","error_description":"AADSTS7000215: Invalid client'
                ' secret provided."}'
            ),
            "",
        ),
        "Azure does not take this login",
        "has to be federated",
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
        "by the commands that `render` prints",
    ),
    "a registry that is not there, which is no store of states": (
        ("reading Registry: 404: Microsoft.ContainerRegistry/registries/r was not found", ""),
        "Terraform: reading Registry",
        "again",
    ),
    "a lock that is not given back": (
        ("Error releasing the state lock", "Error message: lock is already unlocked"),
        "Terraform: Error releasing the state lock",
        "again",
    ),
    "a name that is taken in the world": (
        ("creating Storage Account: StorageAccountAlreadyTaken: the name is already taken.", ""),
        "something of this name exists",
        "workspace.names",
    ),
    "no network, of which no provider is to blame": (
        (
            "Failed to query available provider packages",
            (
                "Could not retrieve the list of available versions for provider"
                " microsoft/azuredevops: could not connect to registry.terraform.io: 401"
            ),
        ),
        "providers can not be downloaded",
        "mirror",
    ),
    "Azure DevOps without a login": (
        ("azuredevops: 401 Unauthorized: the token is not accepted by the organization", ""),
        "Azure DevOps does not answer, or not to this login",
        "AZDO_ORG_SERVICE_URL",
    ),
    "a variable": (
        (
            "Invalid value for variable",
            (
                "names.key_vault: 3-24 letters.\\n\\nThis was checked by the validation rule at"
                " variables.tf:20,3-13."
            ),
        ),
        "Invalid value for variable: names.key_vault: 3-24 letters.",
        "mend the spec",
    ),
}


def by_hand(*words):
    return " ".join(("terraform-of-it", *words))


@pytest.mark.parametrize(("said", "message", "cure"), SAID.values(), ids=SAID.keys())
def test_an_error_is_one_message_with_its_cure(said, message, cure):
    summary, detail = said
    found = refusal(
        [{"summary": summary, "detail": detail}, {"summary": "what follows from it"}], by_hand
    )
    assert message in found.message
    assert cure in found.cure


def test_a_secret_in_an_error_is_not_shown():
    key = f"AccountKey={'c2VjcmV0' * 5}"
    found = refusal([{"summary": f"DefaultEndpointsProtocol=https;{key}", "detail": ""}], by_hand)
    assert "c2VjcmV0" not in str(found)


def test_the_resource_is_named():
    found = refusal(
        [{"summary": "no", "detail": "x" * 2000, "address": "azurerm_key_vault.this"}], by_hand
    )
    assert found.message.startswith("Terraform: azurerm_key_vault.this: no: xxx")
    assert len(found.message) < 700


def test_a_line_for_the_shell_is_one_in_a_folder_with_a_space_too(tmp_path, monkeypatch):
    here = tmp_path / "my photos"
    here.mkdir()
    monkeypatch.chdir(here)
    line = binary.by_hand("pets", "untaint", 'a["b c"]')
    said = f'terraform() {{ echo $#; printf \'%s\\n\' "$TF_DATA_DIR" "$@"; }}; {line}'
    found = subprocess.check_output(["sh", "-c", said], text=True).splitlines()
    assert found == [
        "3",
        f"{here}/.mlops/terraform/pets/data",
        "-chdir=infra",
        "untaint",
        'a["b c"]',
    ]


def test_terraform_is_not_told_the_key_that_models_are_signed_with(tmp_path, monkeypatch):
    monkeypatch.setenv(signing.VARIABLE, "a private key")
    monkeypatch.setenv("TF_CLI_ARGS_apply", "-target=nothing")
    monkeypatch.setenv("ARM_CLIENT_ID", "me")
    told = binary._environment(tmp_path)
    assert "a private key" not in told.values()
    assert "TF_CLI_ARGS_apply" not in told
    assert told["ARM_CLIENT_ID"] == "me"
