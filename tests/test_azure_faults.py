"""What Azure does to a run: requests refused or lost, clusters and jobs that fail."""

import azure_runs
import emulation
import pytest
from azure_runs import Runs

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore"),  # of Azure's SDK, about itself
]


@pytest.mark.parametrize(("kind", "status"), [("throttle", 429), ("error", 503), ("drop", 0)])
def test_requests_without_an_answer_are_repeated(runs: Runs, kind: str, status: int) -> None:
    whom = {"PUT": f"/jobs/{runs.name}-train-", "GET": f"/runs/{runs.name}-train-"}
    faults = [
        {"kind": kind, "on": f"{method} *{part}*", "count": 2, "status": status or 500}
        if kind == "error"
        else {"kind": kind, "on": f"{method} *{part}*", "count": 2}
        for method, part in whom.items()
    ]
    runs.train(faults=faults)
    assert runs.status() == "done"
    for method, part in whom.items():
        assert runs.answers(method, part)[:2] == [status, status]
    assert runs.of_training() == [""]


def test_a_conflict_is_told_and_the_next_run_continues(runs: Runs) -> None:
    said = runs.train(faults=[{"kind": "conflict", "on": "PUT */jobs/*"}])
    assert "somebody else changes the same in workspace" in said
    assert "run the same command again" in said
    assert runs.status() == "failed"
    runs.train()
    assert runs.status() == "done"
    assert runs.results()["data_asset"]["status"] == "reused"
    assert runs.of_training() == [""]


def test_who_may_not_read_the_run_history_is_told_which_role_it_takes(runs: Runs) -> None:
    said = runs.train(faults=[{"kind": "forbidden", "on": "GET */history/*/details*"}])
    assert "train: failed: this login may not do that in workspace" in said
    assert "az role assignment create" in said
    runs.train()
    assert runs.status() == "done"
    assert runs.of_training() == [""], "it went on meanwhile"


def test_code_that_can_not_be_uploaded_is_told(runs: Runs) -> None:
    said = runs.train(faults=[{"kind": "conflict", "on": "PUT *blob.core.windows.net/*.py*"}])
    assert "somebody else changes the same in workspace" in said
    runs.train()
    assert runs.status() == "done"


def test_a_cluster_that_failed_is_made_anew(runs: Runs) -> None:
    said = runs.train(faults=[{"kind": "failed_operation", "on": "PUT */computes/*"}])
    assert "The operation failed, as asked for" in said
    assert runs.status("compute") == "failed"
    assert runs.status() == "skipped"
    runs.train()
    assert runs.results()["compute"]["text"] == "cluster cpu made again"
    assert runs.status() == "done"


def test_a_cluster_that_is_being_made_is_waited_for(runs: Runs) -> None:
    slow = {"kind": "slow_operation", "on": "PUT */computes/*", "seconds": 15}
    runs.azure.faults(slow)
    process = runs.start()
    azure_runs.waited(lambda: runs.answers("PUT", "/computes/cpu")[-1:] == [201])
    process.kill()
    process.communicate(timeout=60)
    said = runs.train()
    assert "cluster cpu: creating" in said
    assert runs.results()["compute"]["text"] == "cluster cpu is there"
    assert runs.status() == "done"


def test_a_training_that_fails_says_why_once_and_its_next_attempt_goes_on(runs: Runs) -> None:
    code, said = runs.run("training.fault=once")
    assert code == 5
    assert said.count("error: this trainer stops after its first round") == 1
    assert "train: failed: this trainer stops after its first round\n  start it again" in said
    said = runs.train("training.fault=once")
    assert runs.status() == "done"
    assert "continuing after round 1" in said
    assert "round 1\n" not in said.replace("after round 1\n", "")
    assert runs.of_training() == ["", "-2"]


def test_a_job_that_never_ran_says_so(runs: Runs) -> None:
    said = runs.train(faults=[{"kind": "fail", "on": f"{runs.name}-train"}])
    assert " failed: the job fails, as asked for\n" in said
    assert "it said last" not in said
    runs.train()
    assert runs.status() == "done"
    assert runs.of_training() == ["", "-2"]


def test_a_log_is_read_to_its_end_with_signatures_that_have_run_out(runs: Runs) -> None:
    address = f"GET *{runs.name}-train-*/details*"
    said = runs.train(faults=[{"kind": "expired_sas", "on": address, "count": 10}])
    assert runs.status() == "done"
    rounds = [line for line in said.splitlines() if line.startswith("train: round ")]
    assert rounds == [f"train: round {number}" for number in (1, 2, 3)]


def test_outputs_are_fetched_by_the_next_run_when_a_signature_has_run_out(runs: Runs) -> None:
    assert runs.run("compute.wait=false")[0] == 0
    emulation.ended(runs.client(), runs.job())
    said = runs.train(faults=[{"kind": "expired_sas", "on": "POST */listSecrets*"}])
    assert "does not take the signature, which may have run out" in said
    assert runs.status() == "failed"
    runs.train()
    assert runs.status() == "done"
    assert runs.of_training() == [""]
