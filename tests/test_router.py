"""The router of an address: who is asked, who is asked as well, what is refused."""

import gzip
import http.client
import json
import os
import socket
import subprocess
import sys
import threading
import time
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from scoring import free_port

from deployers.scoring import router
from mlops_spec import services
from mlops_spec.services import Deployment, State


class Backend:
    """A deployment that remembers what it was asked, and may be slow or leave."""

    def __init__(self, name):
        self.asked, self.slow, self.leaves, self.more = [], 0.0, 0, {}
        self.leaving = lambda: None
        backend = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1  # an answer is sent at once: nobody waits for a delayed acknowledgement

            def do_GET(self):
                backend.answer(self, b"")

            def do_POST(self):
                backend.answer(self, self.rfile.read(int(self.headers["Content-Length"])))

            def log_message(self, *_):
                pass

        self.name = name
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def answer(self, handler, body):
        if handler.path != "/readyz":
            self.asked.append((handler.path, body, handler.headers))
        time.sleep(self.slow)
        if self.leaves:
            self.leaves -= 1
            handler.close_connection = True
            self.leaving()
            return
        content = json.dumps({"name": self.name, "bytes": len(body)}).encode()
        handler.send_response({"/teapot": 418, "/moved": 302}.get(handler.path, 200))
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", str(len(content)))
        handler.send_header("X-Request-Id", handler.headers.get("X-Request-Id", "none"))
        for name, value in self.more.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(content)

    def deployment(self):
        port = self.server.server_address[1]
        more = {"model": "m", "version": 1, "digest": "d", "bundle": "b", "log": "l"}
        return Deployment(pid=port, port=port, **more)  # a number that tells them apart


@pytest.fixture
def backends():
    found = {name: Backend(name) for name in ("blue", "green")}
    yield found
    for each in found.values():
        each.server.shutdown()
        each.server.server_close()


class Address:
    """A router, and the state that it reads."""

    def __init__(self, folder, backends):
        self.path, self.port, self.backends = folder / "state.json", free_port(), backends
        self.set({"blue": 100})
        words = ["-m", "deployers.scoring.router", "--state", str(self.path)]
        self.log = folder / "router.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen([sys.executable, *words], stdout=log, stderr=log)
        deadline = time.monotonic() + 90
        while time.monotonic() < deadline:
            try:
                self.ask("GET", "/healthz")
                return
            except OSError:
                time.sleep(0.05)
        raise AssertionError("the router did not start")

    def set(self, traffic, mirror=None, **changes):
        known = {name: each.deployment() for name, each in self.backends.items()}
        values = {"host": "127.0.0.1", "port": self.port, "router": 0, "deployments": known}
        limits = {"max_bytes": 5000, "body_seconds": 1.0, "answer_seconds": 2.0}
        values |= {"traffic": traffic, "mirror": mirror or {}, **limits, **changes}
        services.write(self.path, State.model_validate(values))

    def ask(self, method, path, body=None, **headers):
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)) as line:
            line.request(method, path, body, named)
            answer = line.getresponse()
            return answer.status, answer.headers, json.loads(answer.read())

    def send(self, head, body=b""):
        """What is said to a request that is sent as it stands."""
        with socket.create_connection(("127.0.0.1", self.port), 10) as line:
            line.sendall(head.replace("\n", "\r\n").encode() + b"\r\n\r\n" + body)
            return line.makefile("rb").read()


@pytest.fixture
def address(tmp_path, backends):
    made = Address(tmp_path, backends)
    yield made
    made.process.terminate()
    assert made.process.wait(60) == 0
    assert "Traceback" not in made.log.read_text("utf-8")


def test_a_request_is_passed_on_as_it_is(address, backends):
    status, headers, answer = address.ask(
        "POST", "/score?top=3", b"12345", X_Request_Id="mine", Authorization="Bearer x"
    )
    assert (status, answer) == (200, {"name": "blue", "bytes": 5})
    assert (headers["X-Deployment"], headers["X-Request-Id"]) == ("blue", "mine")
    assert "Server" not in headers or "aiohttp" not in headers["Server"]
    path, body, sent = backends["blue"].asked[-1]
    assert (path, body, sent["Authorization"]) == ("/score?top=3", b"12345", "Bearer x")
    assert address.ask("GET", "/teapot")[0] == 418


def test_no_other_host_is_asked_whatever_a_client_wants(address, backends):
    elsewhere = Backend("elsewhere")
    try:
        port = elsewhere.server.server_address[1]
        for target in (f"//127.0.0.1:{port}/score", f"http://127.0.0.1:{port}/score"):
            answer = address.send(f"GET {target} HTTP/1.1\nHost: x\nConnection: close")
            assert b'"name": "blue"' in answer
        assert elsewhere.asked == []
        assert len(backends["blue"].asked) == 2
    finally:
        elsewhere.server.shutdown()
        elsewhere.server.server_close()


def test_headers_are_passed_on_unless_they_are_of_a_connection(address, backends):
    ours = [("Cookie", "a=1"), ("X-Forwarded-For", "first"), ("X-Forwarded-For", "second")]
    theirs = [("Connection", "close, X-Private"), ("X-Private", "1"), ("TE", "trailers")]
    theirs += [("Keep-Alive", "timeout=9"), ("Host", "elsewhere")]
    lines = [f"{name}: {value}" for name, value in ours + theirs]
    assert b'"name": "blue"' in address.send("\n".join(["GET /model HTTP/1.1", *lines]))
    (_, _, sent) = backends["blue"].asked[-1]
    assert [each for each in sent.items() if each[0] != "Host"] == ours
    assert sent["Host"] == f"127.0.0.1:{backends['blue'].server.server_address[1]}"


@pytest.mark.parametrize("body", [gzip.compress(b"12345"), b"no gzip"], ids=["whole", "broken"])
def test_a_compressed_request_stays_as_it_is(address, backends, body):
    assert address.ask("POST", "/score", body, Content_Encoding="gzip")[0] == 200
    _, arrived, sent = backends["blue"].asked[-1]
    assert (arrived, sent["Content-Encoding"]) == (body, "gzip")


def test_a_compressed_answer_stays_as_it_is(address, backends):
    backends["blue"].more = {"Content-Encoding": "gzip", "Location": "/teapot"}
    _, headers, answer = address.ask("GET", "/moved")
    assert (answer["name"], headers["Content-Encoding"]) == ("blue", "gzip")
    assert [path for path, _, _ in backends["blue"].asked] == ["/moved"]


def test_a_mirrored_request_is_answered_once(address, backends):
    address.set({"blue": 100}, {"green": 100})
    backends["green"].slow = 0.5
    begin = time.monotonic()
    assert {address.ask("POST", "/score", b"x")[2]["name"] for _ in range(5)} == {"blue"}
    assert time.monotonic() - begin < 0.5, "nobody waits for the other"
    deadline = time.monotonic() + 90
    while len(backends["green"].asked) < 5 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert [body for _, body, _ in backends["green"].asked] == [b"x"] * 5
    address.set({"blue": 100}, {"green": 0})
    address.ask("POST", "/score", b"x")
    time.sleep(0.2)
    assert len(backends["green"].asked) == 5


def test_a_share_is_mirrored_on_the_whole(address, backends):
    address.set({"blue": 100}, {"green": 50})
    for _ in range(100):
        address.ask("POST", "/score", b"x")
    assert 25 <= len(backends["green"].asked) <= 75  # 50 expected, deviation 5


def test_where_the_mirror_is_slow_no_more_than_some_wait_for_it(address, backends):
    address.set({"blue": 100}, {"green": 100}, answer_seconds=20.0)
    backends["green"].slow = 3.0
    for _ in range(30):
        address.ask("POST", "/score", b"x")
    assert len(backends["green"].asked) <= 16
    backends["green"].slow = 0.0


def test_weights_are_kept_on_the_whole(address):
    address.set({"blue": 80, "green": 20})
    names = [address.ask("GET", "/model")[2]["name"] for _ in range(300)]
    assert 35 <= names.count("green") <= 90  # 60 expected, deviation 7


def test_a_connection_that_was_left_is_no_lost_request(address, backends):
    assert address.ask("POST", "/score", b"x")[0] == 200
    backends["blue"].leaves = 1
    assert address.ask("POST", "/score", b"x")[0] == 200
    backends["blue"].leaves = 5
    status, headers, answer = address.ask("POST", "/score", b"x")
    assert (status, answer["error"]) == (503, "no deployment answers")
    assert headers["Retry-After"] == "1"


def test_a_request_whose_deployment_is_replaced_meanwhile_is_answered_by_the_new_one(
    address, backends
):
    backends["blue"].leaves = 5
    backends["blue"].leaving = lambda: address.set({"green": 100})
    status, headers, answer = address.ask("POST", "/score", b"x")
    assert (status, headers["X-Deployment"], answer["name"]) == (200, "green", "green")


def test_who_chose_a_deployment_gets_no_other_one(address, backends):
    backends["green"].leaves = 5
    chosen = {"azureml_model_deployment": "green"}
    assert address.ask("POST", "/score", b"x", **chosen)[0] == 503
    assert backends["blue"].asked == []


def test_what_takes_too_long_is_told_so(address, backends):
    address.set({"blue": 100}, answer_seconds=0.2)
    backends["blue"].slow = 1.0
    status, headers, answer = address.ask("POST", "/score", b"x")
    assert (status, answer["error"]) == (504, "no answer in 0.2 s")
    assert headers["X-Deployment"] == "blue"


def test_too_much_and_too_slow_are_refused(address):
    assert address.ask("POST", "/score", bytes(5001))[0] == 413
    with socket.create_connection(("127.0.0.1", address.port), 10) as line:
        line.sendall(b"POST /score HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\nslow")
        assert line.recv(2000).startswith(b"HTTP/1.1 408 ")
    assert address.ask("POST", "/score", b"x")[0] == 200


def test_limits_are_those_of_the_state_now(address):
    address.set({"blue": 100}, max_bytes=6000)
    assert address.ask("POST", "/score", bytes(5500))[0] == 200
    address.set({"blue": 100}, max_bytes=10)
    status, _, answer = address.ask("POST", "/score", bytes(11))
    assert (status, answer["error"]) == (413, "more than 10 bytes")


def test_a_client_that_hangs_up_and_one_that_speaks_no_http_harm_nobody(address, backends):
    with socket.create_connection(("127.0.0.1", address.port), 10) as line:
        line.sendall(b"POST /score HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\nhalf")
    head = "POST /score HTTP/1.1\nHost: x\nTransfer-Encoding: chunked"
    assert b" 400 " in address.send(head, b"zz\r\n")
    assert b" 400 " in address.send(f"{head}\nContent-Length: 3", b"0\r\n\r\n")
    assert address.ask("POST", "/score", b"x")[0] == 200
    assert [body for _, body, _ in backends["blue"].asked] == [b"x"]


def test_states_of_one_tick_of_the_clock_are_told_apart(address):
    assert address.ask("GET", "/model")[2]["name"] == "blue"
    moment = address.path.stat().st_mtime_ns
    address.set({"green": 100})
    os.utime(address.path, ns=(moment, moment))
    assert address.ask("GET", "/model")[2]["name"] == "green"


def test_a_state_that_can_not_be_read_changes_nothing(address):
    address.path.write_text("{")
    os.utime(address.path, (1, 1))
    assert address.ask("GET", "/model")[2]["name"] == "blue"
    address.set({"green": 100})
    assert address.ask("GET", "/model")[2]["name"] == "green"


def test_without_a_state_it_does_not_start(tmp_path):
    words = ["-m", "deployers.scoring.router", "--state", str(tmp_path / "none.json")]
    answer = subprocess.run(
        [sys.executable, *words], capture_output=True, text=True, timeout=30, check=False
    )
    assert answer.returncode == 1
    assert "Traceback" not in answer.stderr


def test_at_the_end_a_request_has_as_long_as_ever(address, monkeypatch):
    told = []
    monkeypatch.setattr(router.web, "run_app", lambda _app, **more: told.append(more))
    address.set({"blue": 100}, body_seconds=40.0, answer_seconds=50.0)
    monkeypatch.setattr(sys, "argv", ["router", "--state", str(address.path)])
    router.main()
    assert told[0]["shutdown_timeout"] == 90
