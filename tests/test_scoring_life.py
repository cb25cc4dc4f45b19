"""The life of a scoring service: getting ready, being told to end, being killed, bad bundles."""

import json
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import small_bundle
from scoring import ready, serving, start
from test_scoring import RED, encoded, labels

# An engine that takes half a second for a batch; everything else is the service's own
SLOW = """
import time
from deployers.scoring import __main__ as service
from deployers.scoring.engines import onnxruntime
plain = onnxruntime.Engine.logits
onnxruntime.Engine.logits = lambda self, pictures: time.sleep(0.5) or plain(self, pictures)
service.main()
"""
READS_SLOWLY = """
import time
from deployers.scoring import __main__ as service, wire
plain = wire.images_of
wire.images_of = lambda *each: time.sleep(1) or plain(*each)
service.main()
"""

# A log on a disk that is full
UNHEARD = """
import sys
from deployers.scoring import __main__ as service
sys.stdout = open("/dev/full", "w")
service.main()
"""


@pytest.fixture
def folder(tmp_path):
    return small_bundle.make(tmp_path / "bundle")


def later(function, *arguments):
    """Starts asking; the list gets the answer, or the error."""
    found = []

    def ask():
        try:
            found.append(function(*arguments))
        except OSError as error:
            found.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    return thread, found


def test_it_is_not_ready_before_its_engine_is_warm(folder, tmp_path):
    client = start(folder, tmp_path / "service", code=SLOW)
    try:
        deadline = time.monotonic() + 90
        while time.monotonic() < deadline:
            try:
                status, _, answer = client.ask("GET", "/readyz")
                break
            except OSError:
                time.sleep(0.02)
        assert (status, answer) == (503, {"ready": False})
        status, headers, answer = client.ask("POST", "/score", RED)
        assert (status, headers["Retry-After"], answer) == (503, "1", {"error": "not ready yet"})
        assert labels(ready(client).score(RED)) == ["red"]
    finally:
        client.process.kill()
        client.process.wait()


def test_what_is_being_answered_is_answered_before_it_ends(folder, tmp_path):
    with serving(folder, tmp_path / "service", code=SLOW) as client:
        asking = [later(client.score, RED) for _ in range(3)]
        time.sleep(0.2)
        client.process.send_signal(signal.SIGTERM)
        assert client.process.wait(60) in (0, -signal.SIGTERM)
        for thread, found in asking:
            thread.join()
            assert labels(found[0]) == ["red"]
        assert "Traceback" not in client.log.read_text("utf-8")


def test_what_takes_too_long_is_told_so(folder, tmp_path):
    with serving(folder, tmp_path / "service", code=SLOW, answer_seconds=0.2) as client:
        status, answer = client.score(RED)
        assert (status, answer["error"]) == (504, "no answer in 0.2 s")
        time.sleep(0.6)
        assert "scoring_waiting_images 0.0" in client.ask("GET", "/metrics")[2]


def test_a_full_service_says_when_to_come_again(folder, tmp_path):
    with serving(folder, tmp_path / "service", code=SLOW, max_waiting=2, max_images=2) as client:
        asking = [later(client.ask, "POST", "/score", RED) for _ in range(6)]
        for thread, _ in asking:
            thread.join()
        answers = [found[0] for _, found in asking]
        assert {status for status, _, _ in answers} == {200, 429}
        assert all(head["Retry-After"] == "1" for status, head, _ in answers if status == 429)
        assert labels(client.score(RED)) == ["red"]


def test_each_image_of_a_request_counts_as_one_that_waits(folder, tmp_path):
    with serving(folder, tmp_path / "service", code=SLOW, max_waiting=8) as client:
        thread, found = later(client.json, {"images": encoded(RED) * 8})
        time.sleep(0.2)
        status, answer = client.score(RED)
        assert (status, answer["error"]) == (429, "8 images are waiting already")
        thread.join()
        assert labels(found[0]) == ["red"] * 8


def test_reading_a_request_is_part_of_its_time(folder, tmp_path):
    with serving(folder, tmp_path / "service", code=READS_SLOWLY, answer_seconds=0.3) as client:
        assert client.score(RED) == (504, {"error": "no answer in 0.3 s"})


def test_a_log_that_can_not_be_written_keeps_nobody_from_an_answer(folder, tmp_path):
    full = "import os, sys\nos.dup2(os.open('/dev/full', os.O_WRONLY), 1)\n"
    with serving(folder, tmp_path / "service", code=full + SLOW) as client:
        assert labels(client.score(RED)) == ["red"]
        assert labels(client.score(RED)) == ["red"]


FAILING = SLOW.replace("time.sleep(0.5)", "len(pictures) == {} and 1 / 0")


def test_where_the_engine_fails_the_next_request_is_answered(folder, tmp_path):
    with serving(folder, tmp_path / "service", code=FAILING.format(3)) as client:
        status, answer = client.json({"images": encoded(RED) * 3})
        assert (status, answer) == (500, {"error": "the model could not answer this"})
        assert labels(client.score(RED)) == ["red"]
        (line,) = (each for each in client.lines() if each.get("level") == "error")
        assert line["error"] == "ZeroDivisionError: division by zero"


def test_a_service_that_can_not_get_warm_ends(folder, tmp_path):
    client = start(folder, tmp_path / "service", code=FAILING.format(4))
    try:
        client.process.wait(60)
    finally:
        client.process.kill()
    text = client.log.read_text("utf-8")
    assert "division by zero" in text
    assert "Traceback" not in text


def test_killed_it_starts_again_on_the_same_bundle(folder, tmp_path):
    for _ in range(2):
        client = ready(start(folder, tmp_path / "service"))
        assert labels(client.score(RED)) == ["red"]
        client.process.kill()
        client.process.wait()


def test_a_log_that_can_not_be_written_costs_no_answer(folder, tmp_path):
    if not Path("/dev/full").exists():
        pytest.skip("LOUD: no /dev/full here: nobody saw a full disk")
    with serving(folder, tmp_path / "service", code=UNHEARD) as client:
        assert labels(client.score(RED)) == ["red"]


def said(folder, tmp_path):
    """How a service that does not start ends, and its last words."""
    client = start(folder, tmp_path / "service")
    code = client.process.wait(60)
    text = client.log.read_text("utf-8")
    assert "Traceback" not in text
    return code, text


def test_without_a_bundle_it_does_not_start(tmp_path):
    code, text = said(tmp_path / "nothing", tmp_path)
    assert (code != 0, "is no model bundle" in text) == (True, True)


def test_a_bundle_that_was_tampered_with_is_not_served(folder, tmp_path):
    with (folder / "model.onnx").open("ab") as file:
        file.write(b"x")
    code, text = said(folder, tmp_path)
    assert (code != 0, "model.onnx is not the file that training recorded" in text) == (True, True)


def test_a_bundle_of_a_newer_version_is_not_served(folder, tmp_path):
    card = json.loads((folder / "model.json").read_text("utf-8"))
    text = json.dumps({**card, "schema_version": 99})
    (folder / "model.json").write_text(text, encoding="utf-8")
    code, text = said(folder, tmp_path)
    assert (code != 0, "newer mlops_spec" in text) == (True, True)


def test_settings_that_are_none_are_said(folder, tmp_path):
    for changes, said in (
        ({"max_batch": 0, "extra": 1}, ("max_batch", "extra")),
        ({"max_images": 65}, ("max_images 65 is more than max_waiting 64",)),
    ):
        client = start(folder, tmp_path / "service", **changes)
        assert client.process.wait(60) == 2
        text = client.log.read_text("utf-8")
        assert all(each in text for each in said)
        assert "Traceback" not in text


def test_a_file_that_can_not_be_read_is_said(folder, tmp_path):
    settings = tmp_path / "nothing.json"
    words = ["--bundle", folder, "--settings", settings, "--host", "127.0.0.1", "--port", "1"]
    program = [sys.executable, "-m", "deployers.scoring", *map(str, words)]
    answer = subprocess.run(program, capture_output=True, text=True, timeout=30, check=False)
    assert answer.returncode == 1
    assert f"error: {settings} can not be read: No such file" in answer.stderr
    assert "Traceback" not in answer.stderr


def test_a_port_in_use_is_said(folder, tmp_path):
    with serving(folder, tmp_path / "one") as client:
        settings = tmp_path / "one" / "settings.json"
        words = ["--bundle", folder, "--settings", settings, "--host", "127.0.0.1"]
        answer = subprocess.run(
            [
                sys.executable,
                "-m",
                "deployers.scoring",
                *map(str, words),
                "--port",
                str(client.port),
            ],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert answer.returncode != 0
        assert "address already in use" in answer.stderr
        assert "Traceback" not in answer.stderr
        assert labels(client.score(RED)) == ["red"]
