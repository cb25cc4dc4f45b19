"""Azure ML's tracking address as MLflow's own client takes it, without a plugin."""

import pytest

from mlops_spec import tracking

WORKSPACE = (
    "subscriptions/11111111-2222-3333-4444-555555555555/resourceGroups/rg"
    "/providers/Microsoft.MachineLearningServices/workspaces/mlw"
)


@pytest.mark.parametrize(
    ("uri", "plain"),
    [
        *(
            (
                f"azureml://westeurope.api.azureml.ms/mlflow/{protocol}/{WORKSPACE}{more}",
                f"https://westeurope.api.azureml.ms/mlflow/v2.0/{WORKSPACE}",
            )
            for protocol, more in (("v1.0", ""), ("v2.0", ""), ("v1.0", "?tenant=t"))
        ),
        ("sqlite:///mlflow.db", "sqlite:///mlflow.db"),
        ("https://mlflow.example.com/?a=b", "https://mlflow.example.com/?a=b"),
    ],
)
def test_an_address_is_what_the_plugin_makes_of_it(uri, plain):
    assert tracking.address(uri) == plain
    if plain.startswith("https:"):  # the client of a file makes it
        assert tracking.client(uri).tracking_uri == plain


@pytest.mark.parametrize(("own", "expected"), [("run", True), ("other", False), (None, False)])
def test_only_the_run_of_its_own_job_is_azure_ml_s_to_end(monkeypatch, own, expected):
    monkeypatch.delenv("AZUREML_RUN_ID", raising=False)
    if own:
        monkeypatch.setenv("AZUREML_RUN_ID", own)
    assert tracking.is_of_azureml("run") is expected
