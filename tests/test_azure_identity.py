"""Who asks Azure: a person, a service, or the machine of a job."""

import sysconfig
from pathlib import Path

import pytest

from mlops_spec.azure import client

JOB = "DEFAULT_IDENTITY_CLIENT_ID"


@pytest.mark.skipif(
    not Path(sysconfig.get_path("purelib"), "azure", "identity").is_dir(),
    reason="LOUD: azure-identity is not installed: pip install 'mlops_spec[azure]'",
)
@pytest.mark.parametrize(
    ("known", "wanted"),
    [
        ({}, None),
        ({"AZURE_CLIENT_ID": "a service"}, "a service"),
        ({JOB: "of the cluster"}, "of the cluster"),
        ({JOB: "of the cluster", "AZURE_CLIENT_ID": "a service"}, "of the cluster"),
    ],
)
def test_of_several_identities_of_a_machine_the_right_one_asks(monkeypatch, known, wanted):
    for name in (JOB, "AZURE_CLIENT_ID"):
        monkeypatch.delenv(name, raising=False)
    for name, value in known.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("azure.identity.DefaultAzureCredential", lambda **words: words)
    client._credential.cache_clear()  # of whoever asked before in this process
    assert client.identity() == {"managed_identity_client_id": wanted}
