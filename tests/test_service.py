"""Starting a service: what it may know, what it must answer, and who serves when it fails.

A script takes the place of the scoring service, so that it can fail in every way that one could.
"""

import base64
import json
import socket
import threading
import time
from pathlib import Path

import lineages
import pytest
from PIL import Image

from mlops_spec import files, services, signing
from mlops_spec.actions import Context, _processes, service
from mlops_spec.bundle import Golden
from mlops_spec.errors import MlopsError, StateError, StepError
from mlops_spec.steps import Step

pytestmark = pytest.mark.usefixtures("started")
SCORES = {"blue": 0.2, "green": 0.3, "red": 0.5}
# Beside the bundle may lie why it does not start, and an answer of its own.
SCRIPT = """
import json, os, signal, sys, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

if Path("ignores").exists():
    signal.signal(signal.SIGTERM, signal.SIG_IGN)

given = dict(zip(sys.argv[1::2], sys.argv[2::2]))
bundle, key = given["--bundle"], os.environ.get("SCORING_KEY", "")
refuses, answer = Path(bundle + ".refuses"), Path(bundle + ".answer")
slow = Path(bundle + ".slow")
if refuses.exists():
    sys.exit(refuses.read_text())

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send(json.dumps({"bundle": bundle, "version": given["--version"]}))

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        if slow.exists():
            Path("asked").touch()
            time.sleep(float(slow.read_text()))
        given = (self.headers["Authorization"] or "").encode("latin-1")
        allowed = not key or given == ("Bearer " + key).encode()
        self.send(answer.read_text() if allowed else "{}")

    def send(self, text):
        self.send_response(200)
        self.send_header("Content-Length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())

ThreadingHTTPServer((given["--host"], int(given["--port"])), Handler).serve_forever()
"""
PLACE = _processes.Place("127.0.0.1", 1, Path("log"))
SERVING = {
    "golden_tolerance": 1e-3,
    "max_bytes": 1000000,
    "body_seconds": 5.0,
    "answer_seconds": 5.0,
}


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("deployers.scoring.py").write_text(SCRIPT)


@pytest.fixture
def port():
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
def golden():
    import io

    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, "PNG")
    image = base64.b64encode(file.getvalue()).decode()
    return Golden(image=image, scores=tuple(SCORES.values()), labels=("red",), why="sure")


def said_of(scores):
    """What a service answers about one image."""
    top = [{"label": label, "probability": value} for label, value in scores.items()]
    return {"predictions": [{"top": top}]}


def made(name, *golden, answer=None):
    """A registered bundle, and what the service answers that has it."""
    path = lineages.registered(Path(name), golden=golden)
    Path(f"{name}.answer").write_text(json.dumps(said_of(SCORES) if answer is None else answer))
    return path


def start(path, port, host="127.0.0.1", **payload):
    """The step, performed; what it said."""
    register, folder, said = Path("register"), Path("step"), []
    digest = lineages.digest(path)
    document = {"model": "digits", "version": 1, "path": str(path), "digest": digest}
    files.write_json(register / "version.json", document)
    folder.mkdir(exist_ok=True)
    words = ["--bundle", "${{bundle}}", "--settings", "${{settings}}"]
    request = {
        "command": ["python", "deployers.scoring.py", *words],
        "host": host,
        "port": port,
        "deployment": "blue",
        "traffic": {"blue": 100},
        "mirror": {},
        "serving": SERVING,
        "key": None,
    }
    step = Step("deploy", "service.start", {**request, **payload})
    service.start(step, Context(folder, {"register": register}, said.append, "1a" * 32))
    return said


def ask(port, path="/model", **headers):
    return _processes.ask(("127.0.0.1", port), "GET", path, None, headers)[1]


def served(port, **headers):
    """The bundle that answers at a port; None where nobody does."""
    answer = ask(port, **headers)
    return answer.get("bundle") if answer else None


def place(port):
    return services.path_of("127.0.0.1", port)


def living(port):
    """The deployments at an address whose process lives."""
    state = services.read(place(port))
    return {name for name, each in state.deployments.items() if services.is_ours(each.pid)}


def test_golden_inputs_are_replayed_before_a_service_is_asked_by_others(port, golden, started):
    said = start(made("one", golden, golden), port)
    assert said == [
        f"2 golden inputs answered as recorded; log: .mlops/services/127.0.0.1-{port}/blue.log"
    ]
    assert served(port) == "one"
    deployment, router = started
    assert files.read_json(Path("step/out/service.json"))["pid"] == deployment.pid
    state = services.read(place(port))
    assert state.router == router.pid == ask(port, "/healthz")["pid"]
    assert state.answer_seconds > SERVING["answer_seconds"], "the deployment itself says so"


ANSWERS = {
    "no number": said_of({**SCORES, "red": float("nan")}),
    "the first no number": said_of({**SCORES, "blue": float("nan")}),
    "infinite": said_of({**SCORES, "red": float("inf")}),
    "another": said_of({**SCORES, "red": 0.4}),
    "huge": said_of({**SCORES, "red": 10**400}),
    "a text": said_of({**SCORES, "red": "0.5"}),
    "a label less": said_of({"blue": 0.2, "green": 0.3}),
    "two answers": {"predictions": said_of(SCORES)["predictions"] * 2},
    "no answers": {},
    "null": {"predictions": None},
    "a list": [0.2, 0.3, 0.5],
    "nothing": None,
    "a word": "yes",
}


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS.keys())
def test_an_answer_of_another_kind_is_a_wrong_answer(answer, golden, monkeypatch):
    said = json.loads(json.dumps(answer))  # as it arrives
    monkeypatch.setattr(_processes, "ask", lambda *_: (200, said))
    card = service.bundle.read(made("one", golden))
    with pytest.raises(
        StepError, match=r"golden input 1 is off by .*the service answers otherwise"
    ):
        service._replay(PLACE, card, 1e-3, "")


@pytest.mark.parametrize("last", [1, 1.0, 0.9999])
def test_a_whole_number_is_a_probability_too(last, golden, monkeypatch):
    sure = golden.model_copy(update={"scores": (0.0, 0.0, 1.0)})
    answer = said_of({"blue": 0, "green": 0.0, "red": last})
    monkeypatch.setattr(_processes, "ask", lambda *_: (200, answer))
    service._replay(PLACE, service.bundle.read(made("one", sure)), 1e-3, "")


def test_the_worst_of_the_golden_inputs_is_named(golden, monkeypatch):
    other = golden.model_copy(update={"scores": (0.2, 0.4, 0.4)})
    monkeypatch.setattr(_processes, "ask", lambda *_: (200, said_of(SCORES)))
    card = service.bundle.read(made("one", golden, other))
    with pytest.raises(
        StepError, match=r"golden input 2 is off by 0\.1, golden_tolerance is 0\.05"
    ):
        service._replay(PLACE, card, 0.05, "")
    service._replay(PLACE, card, 0.15, "")


def test_what_is_stopped_may_end_in_order(started):
    code = "import signal, sys, time; from pathlib import Path\n"
    code += "signal.signal(signal.SIGTERM, lambda *_: (Path('ended').touch(), sys.exit()))\n"
    code += "Path('began').touch(); time.sleep(60)"
    running = _processes.start(["-c", code, "deployers.scoring"], PLACE, {})
    for _ in range(200):
        if Path("began").exists():
            break
        time.sleep(0.05)
    _processes.stop(running.pid)
    assert Path("ended").exists()
    assert started[0].poll() is not None


def test_a_bundle_without_golden_inputs_is_refused(port, started):
    with pytest.raises(StepError, match="no golden inputs") as caught:
        start(made("one"), port)
    assert "golden.record" in caught.value.cure
    assert served(port) is None
    assert [process.poll() is None for process in started] == [False]


def variables_of(pid):
    """What a process was started with, as the system tells its user."""
    path = Path(f"/proc/{pid}/environ")
    if not path.exists():
        pytest.skip("LOUD: no /proc here: nobody looked at the environment of a service")
    return path.read_bytes()


def test_no_secret_of_a_spec_is_in_the_environment_of_a_service(port, golden, monkeypatch, started):
    monkeypatch.setenv("SIGNING_KEY", "hunter2hunter2")
    monkeypatch.setenv(signing.VARIABLE, "hunter2hunter2")
    monkeypatch.setenv("HARMLESS", "seven")
    start(made("one", golden), port, withhold=["SIGNING_KEY"])
    assert len(started) == 2
    for process in started:
        found = variables_of(process.pid)
        assert b"HARMLESS=seven" in found
        assert b"hunter2" not in found
        assert b"SIGNING_KEY" not in found


def test_a_service_is_told_its_key_and_nobody_else(port, golden, monkeypatch, started):
    monkeypatch.setenv("MY_KEY", "hunter2hunter2")
    start(made("one", golden), port, key="${secret:MY_KEY}", withhold=["MY_KEY"])
    deployment, router = started
    assert b"SCORING_KEY=hunter2hunter2" in variables_of(deployment.pid)
    assert b"hunter2" not in variables_of(router.pid)
    assert not [p for p in Path().rglob("*") if p.is_file() and b"hunter2" in p.read_bytes()]


def test_a_key_that_is_not_set_is_said_before_anything_starts(port, golden, started):
    with pytest.raises(MlopsError, match="the secret NO_KEY is not set"):
        start(made("one", golden), port, key="${secret:NO_KEY}")
    assert started == []


@pytest.mark.parametrize("key", ["", " ", "hunter2\n", "hunter2 "])
def test_a_key_that_no_client_can_send_is_refused(port, golden, monkeypatch, started, key):
    monkeypatch.setenv("MY_KEY", key)
    with pytest.raises(StepError, match="is empty, has a line end, or a blank") as caught:
        start(made("one", golden), port, key="${secret:MY_KEY}")
    assert "set MY_KEY to" in caught.value.cure
    assert started == []


def test_a_key_may_have_any_letter(port, golden, monkeypatch):
    monkeypatch.setenv("MY_KEY", "s3cret-ü-€")
    start(made("one", golden), port, key="${secret:MY_KEY}")
    assert served(port) == "one"


def test_a_service_that_refuses_golden_inputs_is_quoted(golden, monkeypatch):
    card = service.bundle.read(made("one", golden))
    for answer, said in (
        ((413, {"error": "more than 9 bytes"}), "413: more than 9 bytes"),
        ((500, ["no"]), "500"),
        ((0, None), "nothing"),
    ):
        monkeypatch.setattr(_processes, "ask", lambda *_, answer=answer: answer)
        with pytest.raises(StepError) as caught:
            service._replay(PLACE, card, 1e-3, "")
        assert caught.value.message == f"golden input 1 is answered by {said}"


def test_only_the_router_can_be_asked_from_elsewhere(port, golden, started):
    start(made("one", golden), port, "0.0.0.0")  # noqa: S104 - what the test is about
    deployment, _ = started
    assert deployment.args[deployment.args.index("--host") + 1] == "127.0.0.1"
    assert served(port) == "one"


def test_a_new_model_takes_the_place_of_the_old_one(port, golden, started):
    start(made("one", golden), port)
    start(made("two", golden), port)
    assert served(port) == "two"
    assert [process.poll() is None for process in started] == [False, True, True]


def test_a_model_that_does_not_start_leaves_the_old_one(port, golden, started):
    start(made("one", golden), port)
    two = made("two", golden)
    Path("two.refuses").write_text("out of luck")
    with pytest.raises(StepError, match=r"did not start at .*:\n  out of luck") as caught:
        start(two, port)
    assert "blue.log" in caught.value.cure
    assert served(port) == "one"
    assert [process.poll() is None for process in started] == [True, True, False]
    Path("two.refuses").unlink()
    start(two, port)
    assert served(port) == "two"


def test_a_model_that_answers_otherwise_leaves_the_old_one(port, golden):
    start(made("one", golden), port)
    with pytest.raises(StepError, match=r"golden input 1 is off by 0\.1"):
        start(made("two", golden, answer=ANSWERS["another"]), port)
    assert served(port) == "one"


def test_an_interruption_leaves_the_old_model(port, golden, monkeypatch, started):
    start(made("one", golden), port)
    two = made("two", golden)

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(service, "_replay", interrupted)
    with pytest.raises(KeyboardInterrupt):
        start(two, port)
    assert served(port) == "one"
    assert [process.poll() is None for process in started] == [True, True, False]


def test_a_router_that_does_not_start_leaves_nothing_behind(port, golden, monkeypatch, started):
    monkeypatch.setattr(service, "_is_routed", lambda *_: False)
    monkeypatch.setattr(_processes, "_ANSWER_SECONDS", 1)
    with socket.create_server(("127.0.0.1", port)):
        monkeypatch.setattr(_processes, "is_taken", lambda *_: False)
        with pytest.raises(StepError, match=r"did not start at .*\n.*address already in use"):
            start(made("one", golden), port)
    assert [process.poll() is None for process in started] == [False, False]


def test_an_interruption_while_the_router_starts_leaves_nothing(port, golden, monkeypatch, started):
    wait = _processes.wait

    def interrupted(running, path):
        if path == "/healthz":
            raise KeyboardInterrupt
        wait(running, path)

    monkeypatch.setattr(_processes, "wait", interrupted)
    with pytest.raises(KeyboardInterrupt):
        start(made("one", golden), port)
    assert [process.poll() is None for process in started] == [False, False]


def test_a_router_that_can_not_read_the_state_leaves_the_old_model(
    port, golden, monkeypatch, started
):
    """As one that was started by an older version, which knows less."""
    start(made("one", golden), port)

    def newer(path, state):
        files.write_json(path, {**state.model_dump(mode="json"), "more": 1})

    with monkeypatch.context() as patch:
        patch.setattr(services, "write", newer)
        with pytest.raises(StepError, match=r"the router at .* does not follow") as caught:
            start(made("two", golden), port)
    assert "services stop" in caught.value.cure
    assert served(port) == "one"
    assert [process.poll() is None for process in started] == [True, True, False]


def test_what_is_interrupted_while_it_switches_is_undone(port, golden, monkeypatch):
    start(made("one", golden), port)
    write = services.write

    def interrupted(path, state):
        monkeypatch.setattr(services, "write", write)
        write(path, state)
        raise KeyboardInterrupt

    monkeypatch.setattr(services, "write", interrupted)
    with pytest.raises(KeyboardInterrupt):
        start(made("two", golden), port)
    assert served(port) == "one"
    assert living(port) == {"blue"}


def test_a_process_that_has_the_id_of_an_old_deployment_is_left_alone(port, golden, started):
    """After a restart the ids of a container's processes come again."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        other = probe.getsockname()[1]
    start(made("other", golden), other)
    start(made("one", golden), port)
    state = services.read(place(port))
    recycled = state.deployments["blue"].model_copy(update={"pid": started[0].pid})
    blue = {"blue": recycled, "green": recycled}
    services.write(place(port), state.model_copy(update={"deployments": blue}))
    start(made("two", golden), port)
    assert (served(other), served(port), living(port)) == ("other", "two", {"blue"})


def test_a_router_that_was_killed_is_started_again(port, golden, started):
    one = made("one", golden)
    start(one, port)
    started[1].kill()
    started[1].wait()
    assert served(port) is None
    start(one, port)
    assert served(port) == "one"


# Two deployments at one address


CANARY = {"deployment": "green", "traffic": {"blue": 0, "green": 100}}


def test_traffic_goes_where_it_shall(port, golden):
    two = made("two", golden)
    start(made("one", golden), port)
    start(two, port, deployment="green")
    assert {served(port) for _ in range(10)} == {"one"}
    start(two, port, **CANARY)
    assert {served(port) for _ in range(10)} == {"two"}
    start(two, port, deployment="green", traffic={"blue": 50, "green": 50})
    assert {served(port) for _ in range(40)} == {"one", "two"}
    assert living(port) == {"blue", "green"}


def test_a_client_may_choose_a_deployment(port, golden):
    start(made("one", golden), port)
    start(made("two", golden), port, deployment="green")
    chosen = {"azureml-model-deployment": "green"}
    assert served(port, **chosen) == "two"
    answer = ask(port, **{"azureml-model-deployment": "pink"})
    assert answer == {"error": "no deployment pink (deployments: blue, green)"}


def test_traffic_for_nobody_is_refused(port, golden, started):
    with pytest.raises(StepError, match="can not be had: there is no deployment blue"):
        start(made("one", golden), port, deployment="green")
    assert [process.poll() is None for process in started] == [False]


def test_where_a_deployment_died_another_one_answers(port, golden, started):
    start(made("one", golden), port)
    start(made("two", golden), port, deployment="green", traffic={"blue": 50, "green": 50})
    started[0].kill()
    started[0].wait()
    assert {served(port) for _ in range(20)} == {"two"}
    assert ask(port, "/healthz")["deployments"]["blue"]["answers"] is False
    started[2].kill()
    started[2].wait()
    assert ask(port) == {"error": "no deployment answers"}


def test_no_request_is_lost_while_models_change(port, golden):
    one, two, lost, stopped = made("one", golden), made("two", golden), [], threading.Event()
    start(one, port)

    def asking():
        while not stopped.is_set():
            if served(port) not in ("one", "two"):
                lost.append(ask(port))

    threads = [threading.Thread(target=asking) for _ in range(4)]
    for thread in threads:
        thread.start()
    for each in (two, one, two):
        start(each, port)
    stopped.set()
    for thread in threads:
        thread.join()
    assert lost == []
    assert served(port) == "two"


@pytest.mark.parametrize("noted", [False, True])
def test_the_address_of_another_program_is_left_alone(port, golden, monkeypatch, started, *, noted):
    monkeypatch.setattr(_processes, "_ANSWER_SECONDS", 1)
    if noted:
        start(made("one", golden), port)
        for process in started:
            process.kill()
            process.wait()
    other = socket.create_server(("127.0.0.1", port))
    with other, pytest.raises(StepError, match="another program listens at"):
        start(made("two", golden), port)
    assert all(process.poll() is not None for process in started)


def test_the_router_of_another_project_is_left_alone(port, golden, tmp_path, monkeypatch, started):
    start(made("one", golden), port)
    two = made("two", golden).resolve()
    other = tmp_path / "other"
    other.mkdir()
    monkeypatch.chdir(other)
    with pytest.raises(StepError, match="another program listens at"):
        start(two, port)
    assert served(port) == "one"
    assert len(started) == 2


def test_two_runs_that_deploy_at_an_address_follow_each_other(port, golden, monkeypatch, started):
    one = made("one", golden)
    monkeypatch.setattr(service, "_PATIENCE_SECONDS", 0.1)
    with (
        services.writing(place(port), 1),
        pytest.raises(StateError, match=r"another run has been deploying at 127\.0\.0\.1-"),
    ):
        start(one, port)
    assert started == []
    start(one, port)
    assert served(port) == "one"


@pytest.mark.parametrize(
    "change",
    [
        {"file": "report.html"},
        {"file": "more.txt"},
        {"said": {"model": "letters"}},
        {"said": {"more": 1}},
    ],
    ids=["changed", "added", "another model", "damaged lineage"],
)
def test_a_bundle_that_is_not_what_its_lineage_says_is_refused(port, golden, change, started):
    one = made("one", golden)
    if "file" in change:
        (one / change["file"]).write_text("forged")
    lineages.changed(one, **change.get("said", {}))
    with pytest.raises(StepError, match="one is refused") as caught:
        start(one, port)
    assert "sign_with" not in caught.value.cure
    assert started == []


def test_a_bundle_of_before_there_were_lineages_is_served(port, golden):
    one = made("one", golden)
    (one / "lineage.json").unlink()
    start(one, port)
    assert served(port) == "one"
    with pytest.raises(StepError, match=r"it has no lineage\.json"):
        start(one, port, trusted_key=lineages.public())


@pytest.mark.parametrize("content", ["{", '{"schema_version": 1}', '{"schema_version": 99}'])
def test_a_damaged_state_is_said(port, golden, content, started):
    place(port).parent.mkdir(parents=True)
    place(port).write_text(content)
    with pytest.raises(StateError, match=r"damaged|newer mlops_spec"):
        start(made("one", golden), port)
    assert started == []


def test_a_signature_that_nobody_asks_for_needs_no_package(port, golden, monkeypatch):
    one = made("one", golden)
    lineages.lineage.write(one, lineages.lineage.read(one / "lineage.json"), lineages.key())
    monkeypatch.setattr(signing, "is_installed", lambda: False)
    start(one, port)
    assert served(port) == "one"
    (one / "report.html").write_text("<p>forged</p>")
    with pytest.raises(StepError, match=r"report\.html was changed"):
        start(one, port)


def test_a_free_port_is_found_on_ipv6():
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("LOUD: this machine has no ::1")
    assert _processes.free_port("::1") > 0


@pytest.mark.parametrize("host", ["nowhere.invalid", "2001:db8::1", "192.0.2.1"])
def test_an_address_of_no_machine_or_another_one_is_said(host, port, golden):
    with pytest.raises(StepError, match=f"nothing can listen at {host}: ") as caught:
        start(made("one", golden), port, host)
    assert "target.host" in caught.value.cure
