"""The page over HTTP: what it answers, whom it lets in, and what it never gives away."""

import json
import re
import socket
import subprocess
import sys
import threading
import time

import pytest
import small_bundle
from pages import MODEL, RED, Fake, Visitor, paged, settings
from scoring import free_port, serving
from test_scoring import picture

from deployers.frontends._page import client, guard, words
from deployers.frontends._page.app import create
from deployers.frontends._page.settings import Settings

PNG = picture()
CUT = picture(form="JPEG", size=(200, 200))[:700]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return small_bundle.make(
        tmp_path_factory.mktemp("bundle"), metrics={"accuracy": 0.9876, "log_loss": 0.25}
    )


@pytest.fixture(scope="module")
def service(folder, tmp_path_factory):
    with serving(folder, tmp_path_factory.mktemp("service"), key="s3cret-ü") as found:
        yield found


@pytest.fixture(scope="module")
def visitor(service, tmp_path_factory):
    url = f"http://127.0.0.1:{service.port}"
    with paged(url, tmp_path_factory.mktemp("page"), key="s3cret-ü") as found:
        yield found


@pytest.fixture
def fake():
    service = Fake()
    yield service
    service.close()


@pytest.fixture
def inside(fake):
    """A page in this process, which asks the fake."""

    def made(**changes):
        return InProcess(create(Settings.model_validate(settings(fake.url, **changes)), ""))

    return made


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


# ---- what it shows


def test_each_picture_gets_its_bars_in_order(visitor):
    files = [("a.png", picture((0, 0, 255))), ("b.png", PNG), ("c.png", picture((10, 240, 10)))]
    status, _, page = visitor.send(*files)
    assert status == 200
    cards = page.partition('<ol id="answers">')[2].partition("</section>")[0].split("<h3")[1:]
    assert [re.search(r'label">(\w+)', card)[1] for card in cards] == ["blue", "red", "green"]
    assert [re.search(r">(\w\.png)", card)[1] for card in cards] == ["a.png", "b.png", "c.png"]
    for card in cards:
        shares = [float(x) for x in re.findall(r'share">([\d.]+) %', card)]
        assert len(shares) == 3
        assert shares == sorted(shares, reverse=True)
        assert sum(shares) == pytest.approx(100, abs=0.2)
        widths = [float(x) for x in re.findall(r'rect width="([\d.]+)%', card)]
        assert widths == pytest.approx(shares, abs=0.06)


def test_it_says_what_the_model_is(visitor):
    said = plain(visitor.ask("GET")[2])
    for part in ("colours version 7", "98.8 % accuracy", "3 classes blue green red"):
        assert part in said
    for part in ("log loss 0.25", "network brightness", "trainer by hand"):
        assert part in said


def test_when_a_model_was_registered_is_said(inside):
    assert "Registered on 25 November 2026" in plain(inside().ask("GET")[2])


def test_a_picture_that_is_none_is_refused_in_the_service_s_words_beside_the_others(visitor):
    status, _, page = visitor.send(("a.png", PNG), ("b.png", b"no picture"), ("c.png", CUT))
    assert status == 200
    said = plain(page)
    assert said.index("red") < said.index("No image of a known format")
    assert "A damaged image, or one that can not be decoded." in said


@pytest.mark.parametrize(("content", "status"), [(b"no picture", 415), (b"", 400)])
def test_a_page_without_any_answer_has_the_status_of_the_refusal(visitor, content, status):
    assert visitor.send(("a.png", content))[0] == status
    fragment = visitor.send(("a.png", content), X_Fragment="1")
    assert fragment[0] == 200  # it answers for the picture
    assert 'data-state="refused"' in fragment[2]
    assert "<html" not in fragment[2]


def test_a_picture_that_is_too_large_is_refused_beside_the_others(visitor):
    status, _, page = visitor.send(("a.png", PNG), ("b.png", b"x" * 1_000_000))
    assert status == 200
    assert "The file has 1 MB. Choose a picture of at most 0.9 MB." in plain(page)


def test_names_and_labels_are_text_and_nothing_else(inside, fake):
    evil = "<script>alert(1)</script>"
    fake.score = 200, {"predictions": [{"top": [{"label": evil, "probability": 1}]}]}
    card = {**MODEL["card"], "labels": [evil], "trainer": evil, "metrics": {evil: 1}}
    fake.model = 200, {**MODEL, "name": evil, "card": card}
    _, _, page = inside().send(("<script>alert(1)<script>.png".replace('"', ""), PNG))
    assert page.count("<script") == 1  # ours
    assert page.count("&lt;script") >= 6


def test_a_model_that_is_not_sure_says_so(inside, fake):
    for share, unsure in ((0.499, True), (0.5, False)):
        fake.score = 200, {"predictions": [{"top": [{"label": "red", "probability": share}]}]}
        _, _, page = inside().send(("a.png", PNG))
        assert ("Not sure: no class reaches 50 %." in plain(page)) == unsure


@pytest.mark.parametrize(
    ("labels", "said"),
    [(["green", "red"], "Shows green, red"), ([], "Shows none of the classes.")],
)
def test_a_picture_may_show_several_classes(inside, fake, labels, said):
    top = [{"label": x, "probability": p} for x, p in (("green", 0.8), ("red", 0.6), ("blue", 0))]
    fake.score = 200, {"predictions": [{"labels": labels, "top": top}]}
    _, _, page = inside().send(("a.png", PNG))
    assert said in plain(page)
    assert page.count('class="first"') == len(labels)
    assert "Not sure" not in page


# ---- when the service does not answer

FAULTS = {
    "not ready": (503, {"error": "not ready yet"}, "can not answer at the moment: not ready yet"),
    "a fault": (500, {"error": "the model could not answer this"}, "could not answer this"),
    "a gateway": (502, b"<html>bad gateway", "The model can not answer at the moment."),
    "no JSON": (200, b"<html>hello", "What answers there is no scoring service."),
    "another JSON": (200, {"hello": 1}, "What answers there is no scoring service."),
    "deep JSON": (503, b"[" * 5000, "The model can not answer at the moment."),
    "elsewhere": (302, b"", "The model can not answer at the moment."),
    "not found": (404, {"error": "no"}, "The model can not answer at the moment: no."),
    "a wrong key": (401, {"error": "send the key"}, "frontend.scoring.key"),
}


@pytest.mark.parametrize(("status", "body", "said"), FAULTS.values(), ids=FAULTS.keys())
def test_a_service_that_is_down_is_said_with_a_way_to_try_again(inside, fake, status, body, said):
    fake.score = fake.model = status, body
    visitor = inside()
    code, _, page = visitor.ask("GET")
    assert code == 200  # the page itself is fine
    assert said in plain(page)
    assert 'id="again"' in page
    code, _, page = visitor.send(("a.png", PNG))
    assert code == 503
    assert plain(page).count(said) == 2  # of the picture and of the model
    code, _, fragment = visitor.send(("a.png", PNG), X_Fragment="1")
    assert (code, 'data-state="down"' in fragment, 'class="retry"' in fragment) == (200, True, True)


def test_a_service_that_is_not_there_or_too_slow_is_said(inside, fake):
    fake.seconds = 0.5
    assert "did not answer within 0.2 seconds" in plain(inside(seconds=0.2).ask("GET")[2])
    fake.close()
    assert "can not be reached" in plain(inside().ask("GET")[2])


NONSENSE = [
    {"predictions": []},
    {"predictions": [RED["predictions"][0]] * 2},
    {"predictions": [{"top": []}]},
    {"predictions": [{"top": [{"label": "red"}]}]},
    {"predictions": [{"top": [{"label": "red", "probability": 7}]}]},
    {"predictions": [{"top": [{"label": None, "probability": 0.5}]}]},
]


@pytest.mark.parametrize("answer", NONSENSE)
def test_an_answer_against_the_contract_is_none(inside, fake, answer):
    fake.score = 200, answer
    assert "What answers there is no scoring service." in plain(inside().send(("a.png", PNG))[2])


def test_a_busy_service_is_asked_again_later(inside, fake):
    fake.score, fake.headers = (429, {"error": "too many images wait"}), {"Retry-After": "7"}
    status, _, page = inside().send(("a.png", PNG))
    assert status == 429
    assert "Too many pictures are waiting for the model. Try again in 7 s." in plain(page)


def test_a_refusal_before_all_was_sent_is_heard(folder, tmp_path):
    """A service that takes less than the page hangs up while it is still being told."""
    with serving(folder, tmp_path / "service", max_bytes=1000) as service:
        url = f"http://127.0.0.1:{service.port}"
        changes = {"file_bytes": 9_000_000, "request_bytes": 9_000_000}
        asked = Settings.model_validate(settings(url, **changes))
        status, _, page = InProcess(create(asked, "")).send(("a.png", b"x" * 8_000_000))
    assert status == 413
    assert "More than 1000 bytes. Choose a smaller picture" in plain(page)


# ---- what the service is told, and what a browser is not


def test_the_service_gets_the_picture_its_key_and_the_name_of_the_request(fake):
    asked = Settings.model_validate(settings(fake.url + "/behind/"))
    visitor = InProcess(create(asked, "k€y"))
    _, headers, page = visitor.send(("secret name.png", PNG))
    posted = next(each for each in fake.asked if each[0] == "POST")
    assert posted[1] == "/behind/score?top=3"
    assert posted[3] == PNG
    assert posted[2]["Authorization"].encode("latin-1").decode() == "Bearer k€y"
    assert posted[2]["X-Request-Id"] == headers["X-Request-Id"]
    assert "secret name" not in str(posted[2])
    assert "k€y" not in page + str(headers)


def test_a_browser_sees_neither_the_address_nor_the_key_of_the_service(visitor, service):
    seen = ""
    for path in ("/", "/healthz", "/assets/page.js", "/assets/page.css", "/nothing"):
        _, headers, content = visitor.ask("GET", path)
        seen += content + str(headers)
    _, headers, content = visitor.send(("a.png", b"nothing"))
    seen += content + str(headers) + visitor.log.read_text("utf-8")
    assert "s3cret" not in seen
    assert str(service.port) not in seen


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
    with socket.create_connection(("127.0.0.1", visitor.port), timeout=10) as connection:
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
    visitor.send(("secret name.png", PNG), ("b.png", b"nothing"))
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
        assert visitor.process.wait(15) == 0
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


@pytest.mark.parametrize(
    ("share", "said"),
    [
        (0.9999, "> 99.9 %"),
        (1, "100.0 %"),
        (0.0004, "< 0.1 %"),
        (0, "0.0 %"),
        (0.5, "50.0 %"),
        (0.999, "99.9 %"),
        (0.001, "0.1 %"),
    ],
)
def test_a_share_is_never_rounded_to_certainty(share, said):
    assert words.percent(share) == said
