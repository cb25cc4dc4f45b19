"""Each fault that can be asked for happens as often as asked, and the SDK meets it."""

import time

import emulation
import pytest

from mlops_spec.emulator import access

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore"),  # of Azure's SDK, about itself
]


@pytest.fixture(scope="module")
def _azure(tmp_path_factory):
    state = tmp_path_factory.mktemp("emulator") / "state"
    with emulation.running(state) as found:
        yield found


@pytest.fixture
def azure(_azure):
    """Nothing that an earlier test has asked for is left."""
    _azure.faults()
    return _azure


@pytest.fixture
def ml(azure):
    assert azure.process.poll() is None
    return emulation.client()


def answers(azure, part):
    """What requests to an address were answered."""
    return [line["status"] for line in emulation.exchanges(azure.state) if part in line["url"]]


def environment(ml, version):
    from azure.ai.ml.entities import Environment

    wanted = Environment(name="faulty", version=version, image="ubuntu:22.04")
    return ml.environments.create_or_update(wanted)


def test_a_throttled_request_is_tried_again_after_the_time_that_is_said(azure, ml):
    azure.faults({"kind": "throttle", "on": "PUT */versions/throttled", "count": 2, "seconds": 2})
    start = time.monotonic()
    assert environment(ml, "throttled").version == "throttled"
    assert time.monotonic() - start > 4
    assert answers(azure, "/versions/throttled") == [429, 429, 201]


def test_an_error_of_the_service_is_tried_again(azure, ml):
    azure.faults({"kind": "error", "on": "PUT */versions/error", "status": 503})
    assert environment(ml, "error").version == "error"
    assert answers(azure, "/versions/error") == [503, 201]


def test_a_lost_connection_is_tried_again(azure, ml):
    azure.faults({"kind": "drop", "on": "PUT */versions/lost"})
    assert environment(ml, "lost").version == "lost"
    assert answers(azure, "/versions/lost") == [0, 201]


def test_a_conflict_is_told_to_the_caller(azure, ml):
    from azure.core.exceptions import ResourceExistsError

    azure.faults({"kind": "conflict", "on": "PUT */versions/conflict"})
    with pytest.raises(ResourceExistsError, match="in progress"):
        environment(ml, "conflict")
    assert environment(ml, "conflict").version == "conflict"


def test_a_request_is_forbidden_in_the_words_of_the_resource_manager(azure, ml):
    from azure.core.exceptions import HttpResponseError

    azure.faults({"kind": "forbidden", "on": "PUT */versions/forbidden"})
    with pytest.raises(HttpResponseError) as caught:
        environment(ml, "forbidden")
    assert (caught.value.status_code, caught.value.error.code) == (403, "AuthorizationFailed")
    said = "does not have authorization to perform action"
    right = "Microsoft.MachineLearningServices/workspaces/environments/versions/write"
    assert f"{said} '{right}' over scope '/subscriptions/" in caught.value.message
    assert environment(ml, "forbidden").version == "forbidden"


ACTIONS = {
    "GET {}/jobs/j": "{}/jobs/read",
    "PUT {}/computes/cpu": "{}/computes/write",
    "PATCH {}": "{}/write",
    "DELETE {}/data/d/versions/1": "{}/data/versions/delete",
    "POST {}/datastores/d/listSecrets": "{}/datastores/listSecrets/action",
    "POST {}/listKeys": "{}/listKeys/action",
}


@pytest.mark.parametrize("request_", ACTIONS)
def test_requests_are_called_as_roles_call_them(request_):
    provider = "Microsoft.MachineLearningServices/workspaces"
    method, path = request_.format(
        f"/subscriptions/s/resourceGroups/g/providers/{provider}/w"
    ).split()
    assert access.operation(method, path) == ACTIONS[request_].format(provider)


def test_blob_storage_is_busy(azure, ml, tmp_path):
    azure.faults({"kind": "error", "on": "PUT *.blob.core.windows.net/*busy.txt", "status": 503})
    data(ml, emulation.photos(tmp_path / "busy", {"busy.txt": "busy"}))
    assert answers(azure, "busy.txt")[-3:] == [503, 201, 200]


def data(ml, folder):
    from azure.ai.ml.entities import Data

    wanted = Data(name=folder.name, version="1", type="uri_folder", path=str(folder))
    return ml.data.create_or_update(wanted)


def test_a_signature_that_has_run_out_is_refused_by_the_storage(azure, ml, tmp_path):
    from azure.core.exceptions import HttpResponseError

    folder = emulation.photos(tmp_path / "late", {"late.txt": "late"})
    azure.faults({"kind": "expired_sas", "on": "POST */listSecrets"})
    with pytest.raises(HttpResponseError) as caught:
        data(ml, folder)
    assert caught.value.status_code == 403
    assert data(ml, folder).name == "late"


def cluster(name):
    from azure.ai.ml.entities import AmlCompute

    return AmlCompute(name=name, size="Standard_DS3_v2")


def test_an_operation_takes_long(azure, ml):
    azure.faults({"kind": "slow_operation", "on": "PUT */computes/slow", "seconds": 3})
    start = time.monotonic()
    waiting = ml.compute.begin_create_or_update(cluster("slow"))
    assert ml.compute.get("slow").provisioning_state.lower() == "creating"
    assert waiting.result().name == "slow"
    assert time.monotonic() - start > 3


def test_an_operation_fails(azure, ml):
    from azure.core.exceptions import HttpResponseError

    azure.faults({"kind": "failed_operation", "on": "PUT */computes/failing"})
    with pytest.raises(HttpResponseError, match="as asked for"):
        ml.compute.begin_create_or_update(cluster("failing")).result()
    assert ml.compute.get("failing").provisioning_state.lower() == "failed"


def job(ml, folder, script, name):
    from azure.ai.ml import Output
    from azure.ai.ml import command as make

    environment(ml, "1")
    code = str(emulation.photos(folder / "code", {"main.py": "pass"}))
    settings = {"environment": "azureml:faulty:1", "experiment_name": "tries"}
    outputs = {"out": Output(type="uri_folder")}
    made = make(code=code, command=script, display_name=name, outputs=outputs, **settings)
    return ml.jobs.create_or_update(made).name


TWICE = """
if [ -f ${{outputs.out}}/checkpoint ]; then echo continued > ${{outputs.out}}/state; exit 0; fi
touch begun
echo first > ${{outputs.out}}/checkpoint
sleep 300
"""


def test_a_node_is_taken_away_and_the_job_continues_from_its_outputs(azure, ml, tmp_path):
    azure.faults({"kind": "preempt", "on": "low-priority", "seconds": 2})
    name = job(ml, tmp_path, TWICE, "low-priority")
    assert emulation.ended(ml, name).status == "Completed"
    ml.jobs.download(name, download_path=str(tmp_path / "down"), all=True)
    found = emulation.contents(tmp_path / "down")
    assert found["named-outputs/out/checkpoint"] == "first\n"
    assert found["named-outputs/out/state"] == "continued\n"
    assert "node was taken away" in found["artifacts/user_logs/std_log.txt"]


def test_a_job_fails_that_should(azure, ml, tmp_path):
    azure.faults({"kind": "fail", "on": "unlucky"})
    names = [job(ml, tmp_path, "true", name) for name in ("lucky", "unlucky", "unlucky")]
    ended = [emulation.ended(ml, name).status for name in names]
    assert ended == ["Completed", "Failed", "Completed"]
    error = ml.jobs._runs_operations.get_run_details(names[1]).error
    assert "as asked for" in error.error.message
