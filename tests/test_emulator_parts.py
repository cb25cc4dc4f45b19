"""Parts of the emulator that need no server: what is asked, where it leads, what it becomes."""

import asyncio
import importlib.util
import time
from collections import Counter

import pytest

from mlops_spec.emulator import (
    bench,
    blobs,
    faults,
    identity,
    jobs,
    locations,
    outbox,
    pipelines,
    placeholders,
    recorder,
    routing,
    search_space,
    store,
    tables,
    workspaces,
)
from mlops_spec.emulator.__main__ import main
from mlops_spec.emulator.sas import Account
from mlops_spec.errors import StateError

LAB = workspaces.Workspace("11111111-2222-3333-4444-555555555555", "rg", "Lab")
ACCOUNT = Account("account", "a2V5")


def test_a_missing_library_is_said_with_its_cure(tmp_path, monkeypatch, capsys):
    known = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "trustme" else known(name)
    )
    assert main(["serve", "--state", str(tmp_path)]) == 1
    assert "pip install 'mlops_spec[emulator]'" in capsys.readouterr().err


@pytest.mark.parametrize(
    "name",
    ["../out.txt", "a/../../out.txt", "/etc/passwd", "a\\..\\out.txt", "..", "", "a\0b"],
)
def test_no_name_of_a_blob_leads_out_of_its_folder(tmp_path, name):
    with pytest.raises(StateError, match="leads out"):
        blobs.inside(tmp_path, name)


def test_nor_does_a_link_that_lies_there(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "link").symlink_to(tmp_path)
    with pytest.raises(StateError, match="leads out"):
        blobs.inside(tmp_path / "in", "link/out.txt")
    assert blobs.inside(tmp_path / "in", "a/b.txt") == tmp_path / "in" / "a" / "b.txt"


def test_a_job_that_ends_while_its_log_is_kept_leaves_no_line_twice(tmp_path):
    kept, asked = [], asyncio.Event()

    class Slow:
        """A storage that has taken what it is asked to, and says so late."""

        async def start_log(self, _container, _name):
            pass

        async def append(self, _container, _name, content):
            kept.append(content)
            asked.set()
            await asyncio.sleep(0.05)

    async def job():
        log = tmp_path / "log.txt"
        log.write_text("error: it failed\n")
        tail = outbox.LogTail(Slow(), log, locations.Place("logs", "log.txt"))
        async with outbox.watched([tail]):
            await asked.wait()
        await tail.sync()

    asyncio.run(job())
    assert b"".join(kept) == b"error: it failed\n"


def test_placeholders_are_filled_and_optional_parts_left_out():
    values = {"inputs.lr": "0.1", "outputs.out": "/out"}
    assert placeholders.fill("a ${{inputs.lr}} ${{ outputs.out }}", values) == "a 0.1 /out"
    assert placeholders.fill("a $[[--lr ${{inputs.lr}}]]", values) == "a --lr 0.1"
    assert placeholders.fill("a$[[ --n ${{inputs.n}}]]", values) == "a"
    with pytest.raises(StateError, match=r"inputs\.n"):
        placeholders.fill("a ${{inputs.n}}", values)


def sweep(method, **space):
    return {"samplingAlgorithm": {"samplingAlgorithmType": method, "seed": 1}, "searchSpace": space}


def test_a_grid_is_every_combination_and_no_more_than_its_limit():
    grid = sweep("Grid", lr=["choice", [[0.1, 0.2]]], depth=["choice", [[1, 2, 3]]])
    rows = search_space.trials(grid)
    assert len({tuple(row.items()) for row in rows}) == 6
    assert len(search_space.trials({**grid, "limits": {"maxTotalTrials": 4}})) == 4


def test_random_draws_lie_where_they_should_and_are_the_same_again():
    space = {"lr": ["loguniform", [-5, -1]], "n": ["randint", [3]], "q": ["quniform", [0, 8, 2]]}
    drawn = {**sweep("Random", **space), "limits": {"maxTotalTrials": 50}}
    rows = search_space.trials(drawn)
    assert rows == search_space.trials(drawn)
    assert all(0.0067 < row["lr"] < 0.37 and row["q"] % 2 == 0 for row in rows)
    assert {row["n"] for row in rows} == {0, 1, 2}
    assert len(search_space.trials(sweep("Random", n=["choice", [[1, 2]]]))) == 2


@pytest.mark.parametrize(
    "wrong",
    [
        sweep("Hyperband", lr=["choice", [[1]]]),
        sweep("Grid", lr=["uniform", [0, 1]]),
        sweep("Random", lr=["zipf", [1]]),
        sweep("Random"),
    ],
)
def test_a_sweep_that_can_not_be_run_is_refused(wrong):
    with pytest.raises(routing.ServiceError):
        search_space.check(wrong)


def test_every_way_to_write_an_address_leads_to_the_same_blobs(tmp_path):
    known = store.Store(tmp_path / "state.sqlite")
    long = locations.datastore_uri(LAB, "workspaceblobstore", "a/b")
    known.put(f"{LAB.key}/data/d/1", {"properties": {"dataUri": long}})
    known.put(f"{LAB.key}/jobs/j", {"run": {"outputs": {"out": long.removesuffix("/b")}}})
    container = LAB.container("workspaceblobstore")
    for uri in (
        long,
        "azureml://datastores/workspaceblobstore/paths/a/b/",
        f"azureml:{LAB.id}/data/d/versions/1",
        f"{LAB.id}/data/d/versions/1",
        "azureml://jobs/j/outputs/out/paths/b",
        f"https://account.blob.core.windows.net/{container}/a/b?sig=x",
    ):
        found = locations.place(known, LAB, ACCOUNT, uri)
        assert found == locations.Place(container, "a/b"), uri
    for uri in (
        "azureml://datastores/other/paths/a",
        "azureml://jobs/j/outputs/none",
        f"{LAB.id}/data/d/versions/2",
        "https://elsewhere.blob.core.windows.net/c/a",
        "/etc/passwd",
        "file:///etc/passwd",
    ):
        with pytest.raises(routing.ServiceError):
            locations.place(known, LAB, ACCOUNT, uri)
    known.close()


def test_documents_keep_their_order_and_outlive_their_store(tmp_path):
    path = tmp_path / "state.sqlite"
    known = store.Store(path)
    for key in ("a/2", "a/1", "ab/1", "a/%"):
        known.put(key, {"key": key})
    known.put("a/2", {"changed": True})
    known.close()
    known = store.Store(path)
    assert [name for name, _ in known.under("a/")] == ["2", "1", "%"]
    assert known.get("a/2") == {"changed": True}
    assert (known.delete("a/2"), known.delete("a/2"), known.get("a/2")) == (True, False, None)
    known.close()


def test_only_jobs_are_jobs_whatever_else_is_called_so(tmp_path):
    known = store.Store(tmp_path / "state.sqlite")
    job = jobs.create(known, LAB, "j", {"jobType": "Command"})
    for kind in ("data/jobs/1", "data/jobs", "data-named/jobs", "computes/jobs"):
        known.put(f"{LAB.key}/{kind}", {"properties": {}})
    known.put("workspaces/s/jobs/w", {"names": []})
    assert [key for key, _ in known.under("") if jobs.is_key(key)] == [job.key]
    known.close()


def pipeline(known, steps, **inputs):
    """A pipeline in the store."""
    given = {name: {"jobInputType": "literal", "value": value} for name, value in inputs.items()}
    properties = {"jobType": "Pipeline", "jobs": steps, "inputs": given}
    return jobs.create(known, LAB, "p", properties)


def run(known, job):
    """The properties of the steps' jobs, which all end well."""
    made = []

    async def child(found):
        made.append(found.properties)
        return "Completed"

    desk = bench.Bench(known, None, None, None, None, None, None, child)
    asyncio.run(pipelines.run(desk, job))
    return made


def test_a_step_gets_what_the_pipeline_was_given_and_a_default_for_the_rest(tmp_path):
    known = store.Store(tmp_path / "state.sqlite")
    inputs = {"lr": {"type": "number", "default": "0.5"}, "n": {"type": "number"}}
    spec = {"type": "command", "command": "true", "inputs": inputs}
    known.put(f"{LAB.key}/components/c/1", {"properties": {"componentSpec": spec}})
    bound = {name: {"value": f"${{{{parent.inputs.{name}}}}}"} for name in ("lr", "n")}
    step = {"componentId": f"{LAB.id}/components/c/versions/1", "inputs": bound}
    job = pipeline(known, {"one": step}, n="3")
    (made,) = run(known, job)
    assert {name: given["value"] for name, given in made["inputs"].items()} == {
        "lr": "0.5",
        "n": "3",
    }
    assert job.run["status"] == "Completed"
    known.close()


def test_a_step_that_can_not_be_made_says_why(tmp_path):
    known = store.Store(tmp_path / "state.sqlite")
    step = {"componentId": f"{LAB.id}/components/none/versions/1"}
    with pytest.raises(routing.ServiceError, match="components none"):
        run(known, pipeline(known, {"one": step}))
    bound = {"x": {"value": "${{parent.jobs.two.outputs.y}}"}}
    with pytest.raises(StateError, match="step two, which is not there"):
        run(known, pipeline(known, {"one": {**step, "inputs": bound}}))
    other = {"x": {"value": "${{parent.jobs.one.outputs.y}}"}}
    steps = {"one": {**step, "inputs": bound}, "two": {**step, "inputs": other}}
    with pytest.raises(StateError, match="need each other"):
        run(known, pipeline(known, steps))
    known.close()


def test_state_that_is_none_is_said(tmp_path):
    path = tmp_path / "state.sqlite"
    path.write_bytes(b"no database" * 100)
    with pytest.raises(StateError, match="damaged"):
        store.Store(path)


def test_a_token_is_accepted_until_it_runs_out_or_is_touched(monkeypatch):
    who = identity.Identity("secret")
    token = who.token("https://management.azure.com")
    assert who.accepts(f"Bearer {token}")
    for wrong in ("", "Bearer", f"Basic {token}", f"Bearer {token}x", f"Bearer x{token}"):
        assert not who.accepts(wrong)
    strange = f"Bearer {token}é"
    assert not who.accepts(strange)
    assert not who.is_secret("\udcff")
    assert not identity.Identity("other").accepts(f"Bearer {token}")
    later = time.time() + identity.SECONDS + 1
    monkeypatch.setattr(time, "time", lambda: later)
    assert not who.accepts(f"Bearer {token}")


def test_a_fault_meets_whom_it_should_as_often_as_asked():
    call = routing.Call("PUT", "management.azure.com", "/jobs/j")
    known = faults.Faults()
    known.replace([faults.Fault(kind="throttle", on="PUT */jobs/*", count=2, seconds=3)])
    assert known.answer(routing.Call("GET", "management.azure.com", "/jobs/j")) is None
    answers = [known.answer(call) for _ in range(3)]
    assert [answer and answer.status for answer in answers] == [429, 429, None]
    assert answers[0].headers["Retry-After"] == "3"
    assert known.waiting == ()


def test_secrets_are_not_recorded():
    found = recorder.clean(
        {
            "sasToken": "sv=1&sig=abc",
            "client_secret": "s",
            "uri": "https://a/b?sv=1&sig=abc%3D&se=2",
            "list": [{"access_token": "t"}],
            "name": "kept",
        }
    )
    assert found == {
        "sasToken": "***",
        "client_secret": "***",
        "uri": "https://a/b?sv=1&sig=***&se=2",
        "list": [{"access_token": "***"}],
        "name": "kept",
    }


def test_no_two_routes_answer_the_same():
    routes = Counter((route.method, route.host, route.path.lower()) for route in tables.ROUTES)
    assert [route for route, count in routes.items() if count > 1] == []


def test_only_the_login_and_discovery_are_public():
    assert {route.path for route in tables.ROUTES if route.public} == {
        "/common/discovery/instance",
        "/{tenant}/v2.0/.well-known/openid-configuration",
        "/{tenant}/oauth2/v2.0/token",
        "/discovery",
    }


def test_a_name_is_one_segment_of_a_path():
    path = f"{LAB.id}/data/a%2Fb/versions/1"
    _, names = routing.find(tables.ROUTES, "GET", "management.azure.com", path)
    assert names["name"] == "a/b"
    assert routing.find(tables.ROUTES, "GET", "management.azure.com.evil.com", path) is None
    assert routing.find(tables.ROUTES, "GET", "a.b.api.azureml.ms", "/discovery") is None
