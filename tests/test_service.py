"""Starting a service: what it may know, what it must answer, and who serves when it fails.

A script takes the place of the scoring service, so that it can fail in every way that one could.
"""

import base64
import json
import socket
import subprocess
from pathlib import Path

import lineages
import pytest
from PIL import Image

from mlops_spec import files, signing
from mlops_spec.actions import Context, service
from mlops_spec.bundle import Golden
from mlops_spec.errors import StepError
from mlops_spec.steps import Step

SCORES = {"blue": 0.2, "green": 0.3, "red": 0.5}
# Beside the bundle may lie a port at which it does not start, and an answer of its own.
SCRIPT = """
import json, os, sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

_, bundle, _, host, _, port = sys.argv[1:]
refuses, answer = Path(bundle + ".refuses"), Path(bundle + ".answer")
if refuses.exists() and refuses.read_text() == port:
    sys.exit("no")

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send(json.dumps({"pid": os.getpid(), "bundle": bundle}))

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send(answer.read_text())

    def send(self, text):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(text.encode())

ThreadingHTTPServer((host, int(port)), Handler).serve_forever()
"""


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("deployers.scoring.py").write_text(SCRIPT)


@pytest.fixture(autouse=True)
def started(monkeypatch):
    """All the processes that were started; they outlive whoever started them, but not a test."""
    found, popen = [], subprocess.Popen

    def noted(*words, **more):
        found.append(popen(*words, **more))
        return found[-1]

    monkeypatch.setattr(service.subprocess, "Popen", noted)
    yield found
    for process in found:
        process.kill()
        process.wait()


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


def made(name, *golden, answer=None):
    """A registered bundle, and what the service answers that has it."""
    path = lineages.registered(Path(name), golden=golden)
    Path(f"{name}.answer").write_text(json.dumps({"scores": SCORES} if answer is None else answer))
    return path


def start(path, port, host="127.0.0.1", **payload):
    """The step, performed; what it said."""
    register, folder, said = Path("register"), Path("step"), []
    digest = lineages.digest(path)
    document = {"model": "digits", "version": 1, "path": str(path), "digest": digest}
    files.write_json(register / "version.json", document)
    folder.mkdir(exist_ok=True)
    request = {"command": ["python", "deployers.scoring.py", "--bundle", "${{bundle}}"]}
    step = Step("deploy", "service.start", {**request, "host": host, "port": port, **payload})
    service.start(step, Context(folder, {"register": register}, said.append, "1a" * 32))
    return said


def served(port):
    """The bundle that is served at a port; None where nobody answers."""
    answer = service._ask("127.0.0.1", port, "GET", "/healthz")
    return answer["bundle"] if answer else None


def test_golden_inputs_are_replayed_before_a_service_takes_over(port, golden, started):
    assert start(made("one", golden, golden), port) == ["2 golden inputs answered as recorded"]
    assert served(port) == "one"
    candidate, now = started
    assert candidate.poll() is not None
    assert files.read_json(Path("step/out/service.json"))["pid"] == now.pid


ANSWERS = {
    "no number": {"scores": {**SCORES, "red": float("nan")}},
    "the first no number": {"scores": {**SCORES, "blue": float("nan")}},
    "infinite": {"scores": {**SCORES, "red": float("inf")}},
    "another": {"scores": {**SCORES, "red": 0.4}},
    "huge": {"scores": {**SCORES, "red": 10**400}},
    "a text": {"scores": {**SCORES, "red": "0.5"}},
    "a label less": {"scores": {"blue": 0.2, "green": 0.3}},
    "no scores": {},
    "null scores": {"scores": None},
    "a list of scores": {"scores": [0.2, 0.3, 0.5]},
    "a list": [0.2, 0.3, 0.5],
    "null": None,
    "a word": "yes",
}


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS.keys())
def test_an_answer_of_another_kind_is_a_wrong_answer(answer, golden, monkeypatch):
    said = json.loads(json.dumps(answer))  # as it arrives
    running = service._Service.__new__(service._Service)
    monkeypatch.setattr(service._Service, "ask", lambda *_: said)
    card = service.bundle.read(made("one", golden))
    with pytest.raises(
        StepError, match=r"golden input 1 is off by .*the service answers otherwise"
    ):
        service._replay(running, card)


@pytest.mark.parametrize("last", [1, 1.0, 0.9999])
def test_a_whole_number_is_a_probability_too(last, golden, monkeypatch):
    sure = golden.model_copy(update={"scores": (0.0, 0.0, 1.0)})
    answer = {"scores": {"blue": 0, "green": 0.0, "red": last}}
    monkeypatch.setattr(service._Service, "ask", lambda *_: answer)
    running = service._Service.__new__(service._Service)
    service._replay(running, service.bundle.read(made("one", sure)))


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
    for process in started[1:]:
        found = variables_of(process.pid)
        assert b"HARMLESS=seven" in found
        assert b"hunter2" not in found
        assert b"SIGNING_KEY" not in found


def test_a_new_service_takes_the_place_of_the_old_one(port, golden, started):
    start(made("one", golden), port)
    start(made("two", golden), port)
    assert served(port) == "two"
    assert [process.poll() is None for process in started] == [False, False, False, True]


def test_where_the_second_start_fails_the_model_of_before_serves_again(port, golden):
    start(made("one", golden), port)
    two = made("two", golden)
    Path("two.refuses").write_text(str(port))
    with pytest.raises(
        StepError, match=r"did not start on .*; the model of before serves again, one"
    ):
        start(two, port)
    assert served(port) == "one"
    Path("two.refuses").unlink()
    start(two, port)  # whose it is, is known
    assert served(port) == "two"


def test_where_neither_starts_that_is_said(port, golden):
    start(made("one", golden), port)
    for name in ("one", "two"):
        Path(f"{name}.refuses").write_text(str(port))
    with pytest.raises(StepError, match="nothing serves there now: the model of before, one"):
        start(made("two", golden), port)
    assert served(port) is None


def test_a_model_of_before_that_was_changed_is_not_served_again(port, golden):
    one = made("one", golden)
    start(one, port)
    (one / "report.html").write_text("<p>forged</p>")
    Path("two.refuses").write_text(str(port))
    with pytest.raises(StepError, match=r"nothing serves there now: .*\n  report.html was changed"):
        start(made("two", golden), port)
    assert served(port) is None


def test_an_interruption_in_between_leaves_the_model_of_before(port, golden, monkeypatch):
    start(made("one", golden), port)
    ready, two = service._is_ready, made("two", golden)

    def interrupted(running):
        if running.port == port and "two" in running.process.args:
            raise KeyboardInterrupt
        return ready(running)

    monkeypatch.setattr(service, "_is_ready", interrupted)
    with pytest.raises(KeyboardInterrupt):
        start(two, port)
    assert served(port) == "one"


def test_a_service_is_noted_before_it_is_waited_for(port, golden, monkeypatch, started):
    """Whoever is killed while waiting leaves a service that the next run knows."""
    ready, note, seen = service._is_ready, Path(f".mlops/services/127.0.0.1-{port}.json"), []

    def noting(running):
        seen.append(note.exists() and files.read_json(note)["pid"] == running.pid)
        return ready(running)

    monkeypatch.setattr(service, "_is_ready", noting)
    start(made("one", golden), port)
    assert seen == [False, True]  # a candidate is nobody's service
    assert files.read_json(note)["pid"] == started[1].pid


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
    assert service._free_port("::1") > 0


@pytest.mark.parametrize("host", ["nowhere.invalid", "2001:db8::1", "192.0.2.1"])
def test_an_address_of_no_machine_or_another_one_is_said(host, port, golden):
    with pytest.raises(StepError, match=f"nothing can listen at {host}: ") as caught:
        start(made("one", golden), port, host)
    assert "target.host" in caught.value.cure
