"""Azure's own SDK keeps data, environments, code and models in the emulator."""

import emulation
import pytest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore"),  # of Azure's SDK, about itself
]


@pytest.fixture(scope="module")
def azure(tmp_path_factory):
    state = tmp_path_factory.mktemp("emulator") / "state"
    with emulation.running(state) as found:
        yield found


@pytest.fixture(scope="module")
def ml(azure):
    assert azure.process.poll() is None
    return emulation.client()


def test_a_workspace_is_found_with_its_services(ml):
    found = ml.workspaces.get(emulation.NAME)
    assert found.location == "westeurope"
    assert found.discovery_url == "https://westeurope.api.azureml.ms/discovery"
    assert found.mlflow_tracking_uri.startswith("azureml://westeurope.api.azureml.ms/mlflow/v1.0/")
    assert ml.datastores.get_default().name == "workspaceblobstore"
    assert {store.name for store in ml.datastores.list()} == {
        "workspaceblobstore",
        "workspaceartifactstore",
    }


def test_what_is_not_there_is_refused_in_arm_s_words(ml):
    from azure.core.exceptions import ResourceNotFoundError

    with pytest.raises(ResourceNotFoundError, match=r"mlw-other.*was not found") as caught:
        ml.workspaces.get("mlw-other")
    assert caught.value.error.code == "ResourceNotFound"
    with pytest.raises(ResourceNotFoundError):
        emulation.client("mlw-other").data.get("photos", version="1")
    with pytest.raises(ResourceNotFoundError):
        ml.data.get("photos", version="77")


@pytest.mark.usefixtures("azure")
def test_a_workspace_that_is_put_is_there():
    import requests
    from azure.identity import DefaultAzureCredential

    scope = "https://management.azure.com/.default"
    token = DefaultAzureCredential().get_token(scope).token
    path = "resourceGroups/new/providers/Microsoft.MachineLearningServices/workspaces/mlw-new"
    url = f"https://management.azure.com/subscriptions/{emulation.SUBSCRIPTION}/{path}"
    body = {"location": "northeurope", "tags": {"team": "a"}}

    def asked(method, url, **more):
        query = {"api-version": "2024-04-01"}
        return requests.request(method, url, params=query, timeout=60, **more)

    assert asked("PUT", url, json=body).status_code == 401
    bearer = {"Authorization": f"Bearer {token}"}
    assert asked("PUT", url, json=body, headers=bearer).status_code == 200
    found = asked("GET", url.replace("/new/", "/NEW/"), headers=bearer).json()
    assert (found["location"], found["tags"]) == ("northeurope", {"team": "a"})


def test_only_whoever_has_the_secret_gets_a_token(azure):
    from azure.core.exceptions import ClientAuthenticationError
    from azure.identity import ClientSecretCredential

    known = azure.document["environment"]
    words = (known["AZURE_TENANT_ID"], known["AZURE_CLIENT_ID"], "not-it")
    with pytest.raises(ClientAuthenticationError, match="AADSTS7000215"):
        ClientSecretCredential(*words).get_token("https://management.azure.com/.default")


def test_a_federated_token_is_enough(azure, tmp_path):
    from azure.identity import WorkloadIdentityCredential

    known = azure.document["environment"]
    path = tmp_path / "token"
    path.write_text(known["AZURE_CLIENT_SECRET"], "utf-8")
    credential = WorkloadIdentityCredential(
        tenant_id=known["AZURE_TENANT_ID"],
        client_id=known["AZURE_CLIENT_ID"],
        token_file_path=str(path),
    )
    assert credential.get_token("https://management.azure.com/.default").token.count(".") == 2


def uploads(azure):
    """Blobs with content that were put so far."""
    return [
        line
        for line in emulation.exchanges(azure.state)
        if line["method"] == "PUT" and ".blob." in line["url"] and not line["query"].get("comp")
    ]


def test_a_folder_is_uploaded_once_and_an_unchanged_one_not_again(azure, ml, tmp_path):
    from azure.ai.ml.entities import Data

    folder = emulation.photos(tmp_path / "photos")
    before = len(uploads(azure))
    first = ml.data.create_or_update(
        Data(name="photos", version="1", type="uri_folder", path=str(folder), tags={"a": "b"})
    )
    assert len(uploads(azure)) == before + 2
    second = ml.data.create_or_update(Data(name="photos", type="uri_folder", path=str(folder)))
    assert len(uploads(azure)) == before + 2
    assert (first.version, second.version, first.path) == ("1", "2", second.path)
    assert ml.data.get("photos", version="1").tags == {"a": "b"}
    assert ml.data.get("photos", label="latest").version == "2"
    assert [found.version for found in ml.data.list("photos")] == ["2", "1"]
    assert "photos" in {found.name for found in ml.data.list()}


def test_a_version_stays_what_it_is(ml, tmp_path):
    from azure.ai.ml.entities import Data
    from azure.core.exceptions import ResourceExistsError

    def made(name, text):
        path = emulation.photos(tmp_path / name, {"a.txt": text}) / "a.txt"
        return Data(name="fixed", version="1", type="uri_file", path=str(path))

    ml.data.create_or_update(made("one", "1"))
    with pytest.raises(ResourceExistsError, match="already exists"):
        ml.data.create_or_update(made("two", "2"))


def test_an_environment_is_kept(ml):
    from azure.ai.ml.entities import Environment

    wanted = Environment(
        name="train", version="abc", image="ubuntu:22.04", conda_file={"dependencies": ["pip"]}
    )
    made = ml.environments.create_or_update(wanted)
    found = ml.environments.get("train", version="abc")
    assert (found.image, found.conda_file) == ("ubuntu:22.04", made.conda_file)
    assert ml.environments.get("train", label="latest").version == "abc"


def test_models_are_kept_tagged_listed_and_archived(ml, tmp_path):
    from azure.ai.ml.entities import Model

    def made(text, **more):
        path = str(emulation.photos(tmp_path / text, {"model.onnx": text}))
        wanted = Model(name="net", path=path, type="custom_model", **more)
        return ml.models.create_or_update(wanted)

    first = made("one", tags={"champion": "yes"}, properties={"digest": "d1"})
    second = made("two")
    assert (first.version, second.version) == ("1", "2")
    found = ml.models.get("net", version="1")
    assert (found.tags, found.properties) == ({"champion": "yes"}, {"digest": "d1"})
    found.tags = {"champion": "no"}
    ml.models.create_or_update(found)
    assert ml.models.get("net", version="1").tags == {"champion": "no"}
    assert ml.models.get("net", label="latest").version == "2"
    ml.models.download("net", "1", download_path=str(tmp_path / "down"))
    assert [*emulation.contents(tmp_path / "down").values()] == ["one"]
    ml.models.archive("net", version="1")
    assert [model.version for model in ml.models.list("net")] == ["2"]
    ml.models.restore("net", version="1")
    assert [model.version for model in ml.models.list("net")] == ["2", "1"]


def test_long_lists_come_in_pages(ml):
    from azure.ai.ml.entities import Environment

    for number in range(35):
        wanted = Environment(name="many", version=str(number), image="ubuntu:22.04")
        ml.environments.create_or_update(wanted)
    found = [environment.version for environment in ml.environments.list("many")]
    assert found == [str(number) for number in reversed(range(35))]


def test_a_cluster_is_made_and_removed(ml):
    from azure.ai.ml.entities import AmlCompute
    from azure.core.exceptions import ResourceNotFoundError

    wanted = AmlCompute(name="cpu-small", size="Standard_DS3_v2", max_instances=1)
    made = ml.compute.begin_create_or_update(wanted).result()
    assert (made.provisioning_state.lower(), made.size) == ("succeeded", "Standard_DS3_v2")
    assert "cpu-small" in {found.name for found in ml.compute.list()}
    ml.compute.begin_delete("cpu-small").result()
    with pytest.raises(ResourceNotFoundError):
        ml.compute.get("cpu-small")


def test_no_secret_is_recorded(azure, ml):
    ml.datastores.get_default(include_secrets=True)
    text = (azure.state / "traffic.jsonl").read_text("utf-8")
    assert "listSecrets" in text
    assert "oauth2/v2.0/token" in text
    secrets = [*azure.document["environment"].values()][-1:]
    assert not [secret for secret in secrets if secret in text]
    assert "sig=" not in text.replace("sig=***", "")
    assert "eyJ" not in text  # how every token begins
