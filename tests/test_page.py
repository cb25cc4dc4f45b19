"""The page over HTTP: what it shows of answers, of the model, and of a service that fails."""

import re
import socket
import threading

import pytest
import small_bundle
from pages import MODEL, PNG, RED, InProcess, paged, plain, settings
from scoring import serving
from test_scoring import picture

from deployers.frontends._page import words
from deployers.frontends._page.app import create
from deployers.frontends._page.client import Service, Trouble
from deployers.frontends._page.settings import Address, Settings

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


def test_a_refusal_by_who_hangs_up_is_heard():
    """It answers after the head of a request, and closes with the picture on its way."""
    said = b'HTTP/1.1 413 X\r\nContent-Length: 20\r\n\r\n{"error": "too big"}'

    def refuse(listening):
        connection, _ = listening.accept()
        with connection:
            connection.recv(1000)
            connection.sendall(said)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=refuse, args=(listening,), daemon=True).start()
        address = Address(url=f"http://127.0.0.1:{listening.getsockname()[1]}", seconds=5.0)
        with pytest.raises(Trouble, match="Too big") as caught:
            Service(address, "").answer(b"x" * 30_000_000, 1, "name")
    assert caught.value.state == "refused"


def test_a_refusal_before_all_was_sent_is_heard(folder, tmp_path):
    """A service that takes less than the page."""
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


# ---- in words


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
