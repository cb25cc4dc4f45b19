"""What is compared with Microsoft's descriptions: right exchanges pass, wrong ones are caught."""

import copy

import azure_descriptions
import pytest

WORKSPACE = (
    "/subscriptions/11111111-2222-3333-4444-555555555555/resourceGroups/rg"
    "/providers/Microsoft.MachineLearningServices/workspaces/mlw"
)
SYSTEM = {"createdBy": "emulator", "createdByType": "Application"}
JOB = {
    "jobType": "Command",
    "command": "python train.py",
    "environmentId": f"{WORKSPACE}/environments/e/versions/1",
    "inputs": {
        "data": {"jobInputType": "uri_folder", "uri": "azureml://datastores/d/paths/p"},
        "lr": {"jobInputType": "literal", "value": "0.1"},
    },
    "outputs": {"out": {"jobOutputType": "uri_folder"}},
}
DATASTORE = {
    "datastoreType": "AzureBlob",
    "accountName": "account",
    "containerName": "container",
    "credentials": {"credentialsType": "AccountKey"},
}


@pytest.fixture(autouse=True)
def _present():
    azure_descriptions.present()


def exchange(route, version, sent=None, answer=None, status=200):
    method, path = route.split()
    return {
        "method": method,
        "url": f"https://management.azure.com{WORKSPACE}{path}",
        "query": {"api-version": version},
        "request": {"headers": {}, "body": sent},
        "status": status,
        "response": {"headers": {}, "body": answer},
    }


def resource(path, kind, properties):
    return {
        "id": WORKSPACE + path,
        "name": path.rpartition("/")[2],
        "type": f"Microsoft.MachineLearningServices/workspaces/{kind}",
        "systemData": SYSTEM,
        "properties": properties,
    }


def submitted():
    """A job as a client sends it and the service answers."""
    answer = resource("/jobs/j", "jobs", {**JOB, "status": "Queued"})
    sent = {"properties": JOB}
    return copy.deepcopy(exchange("PUT /jobs/j", "2024-01-01-preview", sent, answer, 201))


def test_a_right_exchange_is_as_described():
    assert azure_descriptions.problems(submitted()) == []
    missing = {"error": {"code": "UserError", "message": "Not found"}}
    answered = exchange("GET /jobs/j", "2024-01-01-preview", None, missing, 404)
    assert azure_descriptions.problems(answered) == []


WRONG = {
    "an unknown property is sent": (("request", "body", "properties", "comand"), "x"),
    "a number is sent for a text": (("request", "body", "properties", "command"), 1),
    "an unknown type of job": (("request", "body", "properties", "jobType"), "Commando"),
    "another type's property": (("request", "body", "properties", "trial"), {}),
    "an input of an unknown type": (
        ("request", "body", "properties", "inputs", "lr", "jobInputType"),
        "number",
    ),
    "an input without its address": (
        ("request", "body", "properties", "inputs", "data"),
        {"jobInputType": "uri_folder"},
    ),
    "an unknown property is answered": (("response", "body", "properties", "state"), "Queued"),
    "an unknown status is answered": (("response", "body", "properties", "status"), "Waiting"),
    "a text is answered for an object": (("response", "body", "properties", "outputs"), "none"),
    "an unknown member of a resource": (("response", "body", "etag"), "1"),
    "nothing is answered": (("response", "body"), None),
    "a status that is not described": (("status",), 204),
    "an error that is none": (("status",), 500),
    "an api-version that nobody has": (("query", "api-version"), "2020-01-01"),
    "no api-version": (("query",), {}),
    "a route that there is not": (("url",), f"https://management.azure.com{WORKSPACE}/job/j"),
    "a method that there is not": (("method",), "PATCH"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_exchange_is_caught(name):
    (*path, last), value = WRONG[name]
    found = submitted()
    part = found
    for word in path:
        part = part[word]
    part[last] = value
    assert azure_descriptions.problems(found) != []


def test_what_is_required_is_missed():
    for side in ("request", "response"):
        found = submitted()
        del found[side]["body"]["properties"]["command"]
        (problem,) = azure_descriptions.problems(found)
        assert problem.startswith(side)
        assert "'command' is a required property" in problem


def test_what_is_put_is_compared_in_its_own_version_too():
    found = submitted()
    found["query"]["api-version"] = "2025-01-01-preview"
    assert azure_descriptions.problems(found) == []
    # Known to the nearest version that is described, and to this one no more
    found["request"]["body"]["properties"]["secretsConfiguration"] = {}
    (problem,) = azure_descriptions.problems(found)
    assert "arm-schemas 2025-01-01-preview" in problem
    assert "'secretsConfiguration' was unexpected" in problem
    found["request"]["body"]["properties"] = {**JOB, "command": 5}
    assert [what for what in azure_descriptions.problems(found) if "arm-schemas" in what] != []


DEVIANT = {
    "version of its hash": exchange(
        "PUT /codes/c/versions/1",
        "2023-04-01",
        {"properties": {"codeUri": "https://a/b", "properties": {"hash_version": 202208}}},
        answer=resource("/codes/c/versions/1", "codes/versions", {"codeUri": "https://a/b"}),
    ),
    "expirableSecret": exchange(
        "POST /datastores/workspaceblobstore/listSecrets",
        "2024-10-01-preview",
        {"expirableSecret": True},
        answer={"secretsType": "Sas", "sasToken": "***"},
    ),
    "in lower case": exchange(
        "PUT /jobs/s",
        "2024-01-01-preview",
        {
            "properties": {
                "jobType": "Sweep",
                "objective": {"goal": "maximize", "primaryMetric": "accuracy"},
                "samplingAlgorithm": {"samplingAlgorithmType": "Grid"},
                "searchSpace": {"lr": ["choice", [[0.1]]]},
                "trial": {"command": "python train.py", "environmentId": "e"},
            }
        },
        status=500,
        answer={"error": {"code": "a", "message": "b"}},
    ),
    "never read": exchange(
        "GET /datastores/d",
        "2024-04-01-preview",
        answer=resource("/datastores/d", "datastores", DATASTORE),
    ),
}


def test_known_deviations_are_needed_and_let_nothing_else_through():
    met = set()
    for reason, found in DEVIANT.items():
        assert azure_descriptions.problems(found) == []
        (deviation,) = azure_descriptions.deviations(found)
        assert reason in deviation.reason
        met.add(deviation)
        other = copy.deepcopy(found)
        other["response"]["body"]["other"] = 1
        assert len(azure_descriptions.problems(other)) == 1
    assert met == {*azure_descriptions.DEVIATIONS}
