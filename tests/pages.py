"""The page as a process of its own, and a scoring service that fails in every way one could."""

import http.client
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import uuid
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer, ThreadingHTTPServer

import pytest
from scoring import free_port
from test_scoring import picture
from written import records

SETTINGS = {
    "title": "What is in the picture?",
    "top_k": 3,
    "unsure": 0.5,
    "scoring": {"url": "", "seconds": 5.0},
    "limits": {
        "files": 6,
        "file_bytes": 900_000,
        "request_bytes": 2_000_000,
        "per_minute": 1000,
        "connections": 16,
        "threads": 4,
    },
    "proxies": 0,
}


def settings(url, **changes):
    """Of a page that asks a service; limits and other values by their names."""
    limits = {k: changes.pop(k) for k in [*changes] if k in SETTINGS["limits"]}
    scoring = {"url": url, "seconds": changes.pop("seconds", SETTINGS["scoring"]["seconds"])}
    limits = {**SETTINGS["limits"], **limits}
    return {**SETTINGS, **changes, "scoring": scoring, "limits": limits}


class Visitor:
    """Somebody with a browser that keeps cookies, by hand."""

    def __init__(self, port, process=None, log=None):
        self.port, self.process, self.log, self.cookie = port, process, log, ""
        self.address = f"http://127.0.0.1:{port}/"

    def ask(self, method, path="/", body=None, **headers):
        """Status, headers and content."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        if self.cookie:
            named.setdefault("Cookie", self.cookie)
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, path, body, named)
            answer = connection.getresponse()
            content = answer.read().decode()
        finally:
            connection.close()
        if "Set-Cookie" in answer.headers:
            self.cookie = answer.headers["Set-Cookie"].partition(";")[0]
        return answer.status, answer.headers, content

    def token(self):
        return re.search(r'name="token" value="([^"]+)"', self.ask("GET")[2])[1]

    def send(self, *files, token=None, **headers):
        """Sends files as the form does: (name, content) each."""
        fields = [("token", None, (self.token() if token is None else token).encode())]
        fields += [("picture", name, content) for name, content in files]
        body, kind = form(fields)
        return self.ask("POST", "/", body, Content_Type=kind, **headers)

    def lines(self):
        return records(self.log)


def form(fields):
    """A form as a browser sends it: body and content type."""
    mark = uuid.uuid4().hex
    body = b""
    for field, name, content in fields:
        file = f'; filename="{name}"\r\nContent-Type: image/png' if name else ""
        head = f'--{mark}\r\nContent-Disposition: form-data; name="{field}"{file}\r\n\r\n'
        body += head.encode() + content + b"\r\n"
    return body + f"--{mark}--\r\n".encode(), f"multipart/form-data; boundary={mark}"


def start(url, folder, *, key="", port=0, code=None, **changes):
    """Starts a page and waits until it answers."""
    folder.mkdir(parents=True, exist_ok=True)
    file, log, port = folder / "settings.json", folder / "log.txt", port or free_port()
    file.write_text(json.dumps(settings(url, **changes)), encoding="utf-8")
    program = ["-c", code] if code else ["-m", "deployers.frontends._page"]
    words = [*program, "--settings", file, "--host", "127.0.0.1", "--port", str(port)]
    environment = {**os.environ, **({"SCORING_KEY": key} if key else {})}
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, *map(str, words)], stdout=output, stderr=output, env=environment
        )
    visitor, deadline = Visitor(port, process, log), time.monotonic() + 20
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text("utf-8")
        try:
            if visitor.ask("GET", "/healthz")[0] == 200:
                return visitor
        except OSError:
            time.sleep(0.02)
    raise AssertionError(log.read_text("utf-8"))


@contextmanager
def paged(url, folder, **changes):
    """A page; it is told to end afterwards, and ends well."""
    visitor = start(url, folder, **changes)
    try:
        yield visitor
        if visitor.process.poll() is None:
            visitor.process.send_signal(signal.SIGTERM)
        assert visitor.process.wait(60) == 0
    finally:
        visitor.process.kill()
        visitor.process.wait()


MODEL = {
    "name": "colours",
    "version": "7",
    "digest": "ab" * 32,
    "registered": "2026-11-25T14:00:00Z",
    "card": {
        "trainer": "transfer",
        "labels": ["blue", "green", "red"],
        "metrics": {"accuracy": 0.972, "log_loss": 0.31, "calibration_error": 0.0213},
        "spec": {"model": {"backbone": "resnet18", "input_size": 224}, "training": {"epochs": 3}},
        "versions": {"torch": "2.13.0"},
    },
}
RED = {"predictions": [{"top": [{"label": "red", "probability": 0.9}], "label": "red"}]}


class Fake:
    """A scoring service that answers what it is told to, and keeps what it was asked."""

    def __init__(self):
        self.model, self.score = (200, MODEL), (200, RED)  # status, document or bytes
        self.headers, self.seconds, self.asked = {}, 0.0, []
        self.open = threading.Event()  # until then nobody is answered
        self.open.set()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def _handler(fake):  # noqa: N805
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                self.answer(fake.model)

            def do_POST(self):
                self.answer(fake.score)

            def answer(self, said):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                fake.asked.append((self.command, self.path, dict(self.headers), body))
                fake.open.wait(60)
                time.sleep(fake.seconds)
                status, document = said
                content = document if isinstance(document, bytes) else json.dumps(document).encode()
                self.send_response(status)
                for name, value in fake.headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_):
                pass

        return Handler

    def close(self):
        self.open.set()
        self.server.shutdown()
        self.server.server_close()


@contextmanager
def answering(body):
    """Somebody who answers everything with the same; the port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


PNG = picture()


class InProcess(Visitor):
    """A visitor without a network."""

    def __init__(self, app):
        super().__init__(0)
        self.app, self.client = app, app.test_client()

    def ask(self, method, path="/", body=None, remote="127.0.0.1", **headers):
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        where = {"REMOTE_ADDR": remote}
        answer = self.client.open(
            path, method=method, data=body, headers=named, environ_overrides=where
        )
        with answer:
            return answer.status_code, answer.headers, answer.get_data(as_text=True)


def plain(html):
    """What a page says, without its marks and its templates."""
    html = re.sub(r"<template.*?</template>", "", html, flags=re.DOTALL)
    return " ".join(re.sub(r"<[^>]+>", " ", html).split())


@pytest.fixture
def fake():
    """A service that answers what a test tells it."""
    service = Fake()
    yield service
    service.close()


@pytest.fixture
def inside(fake):
    """Makes a page in this process, which asks the fake."""
    from deployers.frontends._page.app import create
    from deployers.frontends._page.settings import Settings

    def made(**changes):
        return InProcess(create(Settings.model_validate(settings(fake.url, **changes)), ""))

    return made
