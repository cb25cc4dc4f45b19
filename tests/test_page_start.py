"""A page is started, takes the place of the one before, and never takes down what serves."""

import json
import os
from pathlib import Path

import pytest
from pages import answering
from scoring import free_port
from toyproject import Project, copy

from mlops_spec import files, ports, signing
from mlops_spec.actions import Context, _processes, page
from mlops_spec.errors import MlopsError, StepError
from mlops_spec.steps import Step

pytestmark = pytest.mark.usefixtures("started")
# Answers as a page does; beside it may lie the port at which it does not start.
SCRIPT = """
import json, os, sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

_, settings, _, host, _, port = sys.argv[1:]
if Path("refuses").exists() and Path("refuses").read_text() in (port, "all"):
    sys.exit("no such day")

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        said = {"pid": os.getpid(), "settings": json.loads(Path(settings).read_text())}
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(said).encode())

HTTPServer((host, int(port)), Handler).serve_forever()
"""


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("toy_page.py").write_text(SCRIPT)


def start(port, name="step", host="127.0.0.1", **payload):
    """The step, performed; its outputs."""
    folder = Path(name)
    folder.mkdir(exist_ok=True)
    request = {
        "command": ["python", "-m", "toy_page", "--settings", "${{settings}}"],
        "host": host,
        "port": port,
        "settings": {"title": name},
        "environment": {},
    }
    step = Step("page", "page.start", {**request, **payload})
    outcome = page.start(step, Context(folder, {}, print, "1a" * 32))
    made = files.read_json(folder / "out" / "page.json")
    assert outcome.text == f"page at {made['url']}"
    return made


def shown(port):
    """What the page at a port was told; None where nobody answers."""
    answer = _processes.ask(("127.0.0.1", port), "GET", "/healthz")[1]
    return answer["settings"]["title"] if answer else None


def test_a_page_takes_the_place_of_the_one_before(started):
    port = free_port()
    made = start(port, "one")
    assert made["url"] == f"http://127.0.0.1:{port}/"
    assert (shown(port), made["pid"]) == ("one", started[1].pid)
    start(port, "two")
    assert shown(port) == "two"
    assert [process.poll() is None for process in started] == [False, False, False, True]


def test_a_page_that_does_not_start_leaves_the_one_before():
    port = free_port()
    start(port, "one")
    Path("refuses").write_text("all")
    with pytest.raises(StepError, match=r"did not start at .*\n  no such day") as caught:
        start(port, "two")
    assert "two/log.txt" in caught.value.cure
    assert shown(port) == "one"


def test_a_page_that_starts_everywhere_but_there_is_known_all_the_same():
    port = free_port()
    start(port, "one")
    Path("refuses").write_text(str(port))
    with pytest.raises(StepError, match="did not start"):
        start(port, "two")
    Path("refuses").unlink()
    start(port, "three")
    assert shown(port) == "three"


@pytest.mark.parametrize("noted", [None, "mine", 0, 1])
def test_another_program_at_the_address_is_left_alone(started, noted):
    """Though it says what a page would, and though its process was noted."""
    with answering(json.dumps({"pid": os.getpid()}).encode()) as port:
        if noted is not None:
            pid = os.getpid() if noted == "mine" else noted
            note = {"pid": pid, "program": "toy_page"}
            files.write_json(Path(f".mlops/pages/127.0.0.1-{port}.json"), note)
        with pytest.raises(StepError, match="another program listens") as caught:
            start(port)
    assert "frontend.port" in caught.value.cure
    assert [process.poll() is None for process in started] == [False]


def test_a_page_at_another_address_is_left_alone(started):
    """Its process was noted here, and it still runs; but it is not who answers here."""
    made = start(free_port(), "one")
    with answering(b'{"pid": 1}') as port:
        note = {"pid": made["pid"], "program": "toy_page"}
        files.write_json(Path(f".mlops/pages/127.0.0.1-{port}.json"), note)
        with pytest.raises(StepError, match="another program listens"):
            start(port, "two")
    assert started[1].poll() is None


def test_a_page_of_another_folder_is_left_alone():
    port = free_port()
    start(port, "one")
    Path(f".mlops/pages/127.0.0.1-{port}.json").unlink()
    with pytest.raises(StepError, match="another program listens"):
        start(port, "two")
    assert shown(port) == "one"


def test_a_page_gets_its_key_and_no_other_secret(started, monkeypatch):
    for name in ("FRONT_KEY", "OTHER_KEY", signing.VARIABLE):
        monkeypatch.setenv(name, f"hunter2-{name}")
    monkeypatch.setenv("HARMLESS", "seven")
    start(
        free_port(),
        environment={"SCORING_KEY": "${secret:FRONT_KEY}"},
        withhold=["FRONT_KEY", "OTHER_KEY"],
    )
    for process in started[1:]:
        if not Path(f"/proc/{process.pid}/environ").exists():
            pytest.skip("LOUD: no /proc here: nobody looked at the environment of a page")
        found = Path(f"/proc/{process.pid}/environ").read_bytes().split(b"\0")
        assert b"HARMLESS=seven" in found
        assert [v for v in found if b"hunter2" in v] == [b"SCORING_KEY=hunter2-FRONT_KEY"]
    written = [path for path in Path().rglob("*") if path.is_file()]
    assert [path for path in written if b"hunter2" in path.read_bytes()] == []


def test_a_key_that_is_not_set_is_named(started, monkeypatch):
    monkeypatch.delenv("FRONT_KEY", raising=False)
    with pytest.raises(MlopsError, match="the secret FRONT_KEY is not set"):
        start(free_port(), environment={"SCORING_KEY": "${secret:FRONT_KEY}"})
    assert started == []


@pytest.mark.parametrize("host", ["nowhere.invalid", "192.0.2.1"])
def test_an_address_of_another_machine_is_said(host):
    with pytest.raises(StepError, match=f"nothing can listen at {host}: ") as caught:
        start(free_port(), host=host)
    assert "frontend.host" in caught.value.cure


# ---- all of it


@pytest.fixture
def served(_finished, tmp_path):
    """A project whose page runs, and the words that ask for it."""
    project, port = Project(copy(_finished, tmp_path / "project").path, apart=True), free_port()
    words = ["frontend=flask", f"frontend.port={port}"]
    words += ["frontend.scoring.url=http://127.0.0.1:9", "frontend.scoring.key=null"]
    assert project.ran(*words) == ["page"]
    yield project, port, words
    pid = ports.answering("127.0.0.1", port)
    if pid:
        os.kill(pid, 15)


@pytest.mark.slow
def test_a_page_is_reused_changed_and_started_again(served):
    project, port, words = served
    assert project.ran(*words) == []
    (made,) = project.path.glob(".mlops/steps/*/out/page.json")
    assert json.loads(made.read_text())["url"] == f"http://127.0.0.1:{port}/"
    other = [*words, "frontend.title=Which?"]
    assert project.ran(*other) == ["page"]
    assert project.planned(*words)["page"] == ("run", f"127.0.0.1:{port} has other settings")
    assert project.ran(*words) == ["page"]
    assert "page ended" in project.run("services", "stop").stdout
    assert project.planned(*words)["page"] == ("run", f"nothing answers at 127.0.0.1:{port}")
    assert project.ran(*words) == ["page"]
