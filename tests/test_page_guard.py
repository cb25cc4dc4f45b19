"""The page over HTTP: whom it lets in, with how much, and what it tells browsers and its log."""

import json
import re
import socket
import subprocess
import sys
import threading
import time

import pytest
from pages import PNG, Fake, Visitor, paged, plain, settings
from scoring import free_port

from deployers.frontends._page import client, guard


@pytest.fixture(scope="module")
def visitor(tmp_path_factory):
    service = Fake()
    with paged(service.url, tmp_path_factory.mktemp("page")) as found:
        yield found
    service.close()


# ---- what a browser is told


def test_every_answer_has_the_headers_that_keep_others_out(visitor):
    answers = [visitor.ask("GET", path) for path in ("/", "/healthz", "/assets/page.js", "/no")]
    answers += [visitor.send(("a.png", PNG)), visitor.send(token="")]
    for _, headers, _ in answers:
        policy = headers["Content-Security-Policy"]
        for part in ("default-src 'none'", "script-src 'self'", "frame-ancestors 'none'"):
            assert part in policy
        assert "unsafe" not in policy
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "same-origin"
        assert "Server" not in headers
    assert answers[0][1]["Cache-Control"] == "no-store"
    assert "max-age" in answers[2][1]["Cache-Control"]


def test_no_script_or_style_is_inside_of_a_page(visitor):
    for _, _, page in (visitor.ask("GET"), visitor.send(("a.png", PNG)), visitor.ask("GET", "/no")):
        assert not re.search(r"<style|\bstyle=|\bon\w+=|javascript:|<script(?![^>]*src=)", page)
        assert not re.search(r"(?:src|href|action)=\"(?:https?:)?//", page)


def test_assets_are_the_listed_files_only(visitor):
    for name in ("page.html", "__init__.py", "..%2fapp.py", "../app.py", "%2e%2e/app.py"):
        assert visitor.ask("GET", f"/assets/{name}")[0] == 404
    assert visitor.ask("GET", "/assets/icon.svg")[1].get_content_type() == "image/svg+xml"


# ---- who is let in


def test_a_form_of_another_page_is_refused(visitor):
    token = visitor.token()
    assert visitor.send(("a.png", PNG), token=token)[0] == 200
    for wrong in ("", "x", "ü", token[:-1]):
        status, _, page = visitor.send(("a.png", PNG), token=wrong)
        assert (status, "opened too long ago" in page) == (403, True)
    stranger = Visitor(visitor.port)
    assert stranger.send(("a.png", PNG), token=token)[0] == 403  # no cookie
    stranger.cookie = "session=forged"
    assert stranger.send(("a.png", PNG), token=token)[0] == 403


def test_the_cookie_is_for_this_page_alone(visitor):
    cookie = Visitor(visitor.port).ask("GET")[1]["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie


@pytest.mark.parametrize(
    ("files", "status", "said"),
    [
        ([], 400, "No picture was chosen."),
        ([("", b"")], 400, "No picture was chosen."),
        ([("a.png", PNG)] * 7, 413, "7 pictures are more than 6 at a time."),
        ([("a.png", PNG)] * 40, 413, "That is too much at once."),
        ([("a.png", b"x" * 800_000)] * 3, 413, "That is too much at once."),
    ],
)
def test_too_little_and_too_much_is_said(visitor, files, status, said):
    found, _, page = visitor.send(*files)
    assert (found, said in plain(page)) == (status, True)
    found, _, answer = visitor.send(*files, Accept="application/json")
    assert found == status
    assert {*json.loads(answer)} == {"error", "cure"}
    found, _, fragment = visitor.send(*files, X_Fragment="1")
    assert (found, said in fragment, "<html" in fragment) == (status, True, False)


def test_what_is_no_form_is_refused(visitor):
    for body, kind in ((b"", "text/plain"), (b"--x\r\nbroken", "multipart/form-data; boundary=x")):
        assert visitor.ask("POST", "/", body, Content_Type=kind)[0] == 403
    assert visitor.ask("PUT")[0] == 405
    assert visitor.ask("GET", "/nothing")[0] == 404
    status, _, content = visitor.ask("POST", "/", b"x" * 3_000_000, Content_Type="text/plain")
    assert (status, "too much at once" in content) == (413, True)


def test_a_body_beyond_all_bounds_is_not_even_read(visitor):
    with socket.create_connection(("127.0.0.1", visitor.port), timeout=60) as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000000\r\n\r\n")
        answer = connection.makefile("rb").read()
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"Traceback" not in answer
    assert visitor.send(("a.png", PNG))[0] == 200


def test_a_client_that_asks_too_often_waits_and_others_do_not(inside):
    visitor = inside(per_minute=7)
    assert visitor.send(*[("a.png", PNG)] * 5)[0] == 200  # and one for the page
    token = visitor.token()
    status, headers, page = visitor.send(("a.png", PNG), token=token)
    assert status == 429
    assert 0 < int(headers["Retry-After"]) <= 60
    assert f"Try again in {headers['Retry-After']} s." in page
    assert visitor.ask("GET")[0] == 429
    assert visitor.ask("GET", "/healthz")[0] == visitor.ask("GET", "/assets/page.js")[0] == 200
    assert visitor.ask("GET", remote="127.0.0.2")[0] == 200


def test_a_window_slides_and_forgets():
    now = [0.0]
    window = guard.Window(3, lambda: now[0])
    window.take("a", 2)
    now[0] = 30
    window.take("a", 1)
    with pytest.raises(client.Trouble) as caught:
        window.take("a", 1)
    assert caught.value.retry_after == 31
    window.take("b", 3)
    now[0] = 60.5
    window.take("a", 2)  # the first two are over
    with pytest.raises(client.Trouble):
        window.take("a", 1)
    now[0] = 200
    window.take("c", 1)
    assert [*window._seen] == ["c"]


def test_a_refused_client_fills_no_memory():
    window = guard.Window(1)
    window.take("a", 1)
    for _ in range(3):
        with pytest.raises(client.Trouble):
            window.take("a", 1)
    assert len(window._seen["a"]) == 1


def test_a_network_of_one_customer_is_one_client(inside):
    visitor = inside(per_minute=1)
    assert visitor.ask("GET", remote="2001:db8::1")[0] == 200
    assert visitor.ask("GET", remote="2001:db8::2")[0] == 429
    assert visitor.ask("GET", remote="2001:db8:0:1::1")[0] == 200


@pytest.mark.parametrize("proxies", [0, 1])
def test_a_proxy_s_word_counts_where_there_is_one(fake, tmp_path, proxies):
    with paged(fake.url, tmp_path / "page", per_minute=1, proxies=proxies) as visitor:
        first = visitor.ask("GET", X_Forwarded_For="192.0.2.1", X_Forwarded_Proto="https")
        assert first[0] == 200
        other = visitor.ask("GET", X_Forwarded_For="192.0.2.2", X_Forwarded_Proto="https")
        assert other[0] == (200 if proxies else 429)
        assert ("Secure" in first[1]["Set-Cookie"]) == bool(proxies)


# ---- the process

NO_FILES = """
import runpy, sys, tempfile

def refuse(*_, **__):
    raise OSError("a file for what a user sent")

for name in ("TemporaryFile", "SpooledTemporaryFile", "NamedTemporaryFile", "mkstemp"):
    setattr(tempfile, name, refuse)
runpy.run_module("deployers.frontends._page", run_name="__main__", alter_sys=True)
"""


def test_no_picture_is_ever_in_a_file(fake, tmp_path):
    big = {"file_bytes": 9_000_000, "request_bytes": 20_000_000}
    with paged(fake.url, tmp_path / "page", code=NO_FILES, **big) as visitor:
        files = [("a.png", b"x" * 8_000_000), ("b.png", b"y" * 8_000_000)]
        assert visitor.send(*files)[0] == 200
        assert sorted(len(each[3]) for each in fake.asked if each[0] == "POST") == [8_000_000] * 2
        sent = visitor.send(*[("a.png", b"x" * 9_000_000)] * 3)
        assert sent[0] == 413


def test_a_request_is_one_line_without_its_content(visitor):
    before = len(visitor.lines())
    visitor.send(("secret name.png", PNG), ("b.png", b""))
    ask, sent = [line for line in visitor.lines()[before:] if line["path"] == "/"]
    assert {*sent} == {"time", "request", "status", "pictures", "method", "path", "ms"}
    assert (sent["method"], sent["status"], sent["pictures"]) == ("POST", 200, 1)
    assert (ask["method"], ask["pictures"]) == ("GET", 0)
    assert "secret name" not in visitor.log.read_text("utf-8")


def test_a_fault_of_its_own_is_a_page_without_its_insides(inside, monkeypatch, capsys):
    visitor = inside()
    monkeypatch.setattr(guard, "client", lambda: 1 / 0)
    status, _, page = visitor.ask("GET")
    assert (status, "Something is wrong here." in page) == (500, True)
    assert "division" not in page
    said = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert said[0]["error"] == "ZeroDivisionError: division by zero"


def test_healthz_names_the_process_and_its_settings(visitor):
    status, _, answer = visitor.ask("GET", "/healthz")
    found = json.loads(answer)
    assert (status, found["pid"], len(found["settings"])) == (200, visitor.process.pid, 64)


def test_a_request_is_answered_before_the_process_ends(fake, tmp_path):
    with paged(fake.url, tmp_path / "page") as visitor:
        token, found = visitor.token(), []
        fake.open.clear()
        asking = threading.Thread(
            target=lambda: found.append(visitor.send(("a.png", PNG), token=token))
        )
        asking.start()
        while not any(each[0] == "POST" for each in fake.asked):
            time.sleep(0.01)
        visitor.process.terminate()
        time.sleep(0.3)
        fake.open.set()
        asking.join(15)
        assert visitor.process.wait(60) == 0
    assert [each[0] for each in found] == [200]


def test_wrong_settings_are_named(fake, tmp_path):
    file = tmp_path / "settings.json"
    file.write_text(json.dumps({**settings(fake.url), "threads": 3, "top_k": 0}))
    words = ["-m", "deployers.frontends._page", "--settings", str(file), "--host", "127.0.0.1"]
    words += ["--port", str(free_port())]
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "top_k" in done.stderr
    assert "threads" in done.stderr
