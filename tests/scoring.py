"""A scoring service as a process of its own, for tests of what it answers."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path

from written import records

SETTINGS = {
    "engine": "onnxruntime",
    "precision": "fp32",
    "golden_tolerance": 0.001,
    "top_k": 2,
    "max_bytes": 2_000_000,
    "max_pixels": 1_000_000,
    "max_images": 8,
    "max_batch": 4,
    "max_delay": 0.002,
    "max_waiting": 64,
    "body_seconds": 1.0,
    "answer_seconds": 10.0,
    "drain_seconds": 5.0,
    "sampling": {
        "share": 0.0,
        "folder": ".mlops/samples",
        "max_bytes": 1_000_000,
        "max_files": 1000,
        "min_free": 1,
        "max_waiting": 4_000_000,
    },
}


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Client:
    """Asks one service; each request has a connection of its own."""

    def __init__(self, process, port, log):
        self.process, self.port, self.log = process, port, log

    def ask(self, method, path, body=None, **headers):
        """Status, headers and what was said, as JSON where it is that."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, path, body, named)
            answer = connection.getresponse()
            content = answer.read()
        finally:
            connection.close()
        is_json = answer.headers.get_content_type() == "application/json"
        return answer.status, answer.headers, json.loads(content) if is_json else content.decode()

    def score(self, body, path="/score", **headers):
        """Status and document."""
        status, _, document = self.ask("POST", path, body, **headers)
        return status, document

    def json(self, document):
        return self.score(json.dumps(document).encode(), Content_Type="application/json")

    def lines(self):
        """The log."""
        return records(self.log)


def start(bundle, folder, *, key="", code=None, int8=None, **changes):
    """Starts a service; it may not be ready yet."""
    folder.mkdir(parents=True, exist_ok=True)
    settings, log, port = folder / "settings.json", folder / "log.txt", free_port()
    settings.write_text(json.dumps({**SETTINGS, **changes}), encoding="utf-8")
    words = ["--bundle", bundle, "--settings", settings, "--host", "127.0.0.1"]
    words += ["--port", str(port), "--name", "colours", "--version", "7"]
    words += ["--int8", int8] if int8 else []
    program = ["-c", code] if code else ["-m", "deployers.scoring"]
    environment = {**os.environ, **({"SCORING_KEY": key} if key else {})}
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, *program, *map(str, words)],
            stdout=output,
            stderr=output,
            env=environment,
        )
    return Client(process, port, log)


def ready(client, seconds=20.0, path="/readyz"):
    """Waits until it answers requests."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        assert client.process.poll() is None, client.log.read_text("utf-8")
        try:
            if client.ask("GET", path)[0] == 200:
                return client
        except OSError:
            time.sleep(0.02)
    raise AssertionError(client.log.read_text("utf-8"))


def state_of(project):
    """What there is at the one address of a project."""
    (path,) = project.glob(".mlops/services/*.json")
    return json.loads(path.read_text("utf-8"))


def stop(project):
    """Ends whatever a project's runs have started."""
    for path in project.glob(".mlops/services/*.json"):
        state = json.loads(path.read_text("utf-8"))
        pids = (state["router"], *(each["pid"] for each in state["deployments"].values()))
        for pid in filter(None, pids):  # 0, of what was stopped, would be this process's group
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


@contextmanager
def serving(bundle, folder, **changes):
    """A service that is ready; it is told to end afterwards, and ends well."""
    client = start(Path(bundle), folder, **changes)
    try:
        yield ready(client)
        if client.process.poll() is None:
            client.process.send_signal(signal.SIGTERM)
            assert client.process.wait(60) in (0, -signal.SIGTERM)
    finally:
        if client.process.poll() is None:
            client.process.kill()
            client.process.wait()
