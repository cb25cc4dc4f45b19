"""`frontend=flask`: what is planned for a page, and why."""

from pathlib import Path

import pytest
import yaml
from pages import answering
from world import Now, compose

from deployers.frontends import flask as kind
from mlops_spec import files
from mlops_spec.errors import MlopsError
from mlops_spec.facts import Facts
from mlops_spec.spec import leaves

ROOT = Path(__file__).resolve().parents[1]
WORDS = ["+experiment=quickstart", "target=local", "frontend=flask"]


def planned(there, *words):
    """The step, given the digest of the settings of the page that is there."""
    _, spec = compose(Now([*WORDS, *words]))
    (step,) = kind.steps(spec, Facts("images", frontend={"settings": there}))
    return step


def test_a_page_is_one_request_that_needs_no_model():
    step = planned(None)
    assert (step.id, step.action, step.needs) == ("page", "page.start", ())
    assert step.payload["command"][:3] == ["python", "-m", "deployers.frontends._page"]
    assert step.payload["settings"]["scoring"] == {"url": "http://127.0.0.1:5001", "seconds": 30.0}
    assert step.payload["environment"] == {}
    assert "withhold" not in step.payload
    assert step.code == ("deployers.frontends._page.__main__",)
    assert {"kind", "host", "port"}.isdisjoint(step.payload["settings"])


def test_the_address_of_the_service_follows_the_target():
    step = planned(None, "target.port=7001", "target.host=0.0.0.0")
    assert step.payload["settings"]["scoring"]["url"] == "http://0.0.0.0:7001"


def test_a_plan_has_the_name_of_the_key_and_nothing_else_of_it(monkeypatch):
    monkeypatch.setenv("SCORING_KEY", "hunter2hunter2")
    step = planned(None, "frontend.scoring.key='${secret:SCORING_KEY}'")
    assert step.payload["environment"] == {"SCORING_KEY": "${secret:SCORING_KEY}"}
    assert step.payload["withhold"] == ["SCORING_KEY"]
    assert "key" not in step.payload["settings"]["scoring"]
    assert "hunter2" not in str(step)


def test_the_plan_says_why_a_page_no_longer_is_what_was_asked_for():
    there = files.sha256_of(planned(None).payload["settings"])
    assert planned(there).drift == ""
    assert planned(None).drift == "nothing answers at 127.0.0.1:5002"
    assert planned("other").drift == "127.0.0.1:5002 has other settings"
    assert planned(there, "frontend.top_k=3").drift == "127.0.0.1:5002 has other settings"


WRONG = {
    "frontend.scoring.key=hunter2": ("frontend.scoring.key", r"write \$\{secret:SCORING_KEY\}"),
    "frontend.scoring.url=127.0.0.1:5001": ("frontend.scoring.url", "http://HOST:PORT"),
    "frontend.scoring.url=ftp://host": ("frontend.scoring.url", "http://HOST:PORT"),
    "frontend.scoring.url='http://'": ("frontend.scoring.url", "http://HOST:PORT"),
    "frontend.scoring.url='http://host:x'": ("frontend.scoring.url", "http://HOST:PORT"),
    "frontend.scoring.url='http://me@host'": ("frontend.scoring.url", "http://HOST:PORT"),
    "frontend.scoring.url='http://host?x=1'": ("frontend.scoring.url", "http://HOST:PORT"),
    "target.host='::1'": ("frontend.scoring.url", "an IPv6 address in brackets"),
    "frontend.limits.files=121": ("frontend.limits.files", "at most frontend.limits.per_minute"),
    "frontend.limits.file_bytes=20000001": (
        "frontend.limits.file_bytes",
        "at most frontend.limits.request_bytes",
    ),
    "frontend.unsure=1.5": ("frontend.unsure", "less than 1"),
    "frontend.limits.threads=0": ("frontend.limits.threads", "greater than or equal to 1"),
}


@pytest.mark.parametrize(("word", "said"), WRONG.items(), ids=WRONG.keys())
def test_what_can_not_work_is_said_before_any_work(word, said):
    with pytest.raises(MlopsError, match=said[1]) as caught:
        compose(Now([*WORDS, word]))
    assert said[0] in str(caught.value)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("missing", ["flask", "waitress"])
def test_what_is_not_installed_is_said_before_any_work(monkeypatch, missing):
    monkeypatch.setattr(kind, "find_spec", lambda name: name != missing)
    with pytest.raises(MlopsError, match=r"pip install 'mlops_spec\[frontend\]'"):
        compose(Now(WORDS))


def test_every_setting_is_documented():
    page = (ROOT / "docs" / "frontend.md").read_text("utf-8")
    values = yaml.safe_load((ROOT / "conf" / "frontend" / "flask.yaml").read_text("utf-8"))
    for key, _ in leaves(values):
        assert key == "kind" or f"`{key}`" in page


def test_an_address_with_a_path_or_of_ipv6_is_one():
    for url in ("https://host/behind", "http://[::1]:5001", "https://host"):
        assert planned(None, f"frontend.scoring.url='{url}'").payload["settings"]


def test_without_a_target_the_address_must_be_told():
    with pytest.raises(MlopsError, match=r"frontend\.scoring\.url"):
        compose(Now([*WORDS, "target=none"]))
    other = ["frontend.scoring.url=http://127.0.0.1:9", "frontend.scoring.key=null"]
    assert compose(Now([*WORDS, "target=none", *other]))


@pytest.mark.parametrize("body", [b'{"settings": "1a"}', b"{}", b"[]", b"hello", b""])
def test_only_a_page_tells_its_settings(body):
    with answering(body) as port:
        _, spec = compose(Now([*WORDS, f"frontend.port={port}"]))
        assert kind.facts(spec) == {"settings": "1a" if b"1a" in body else None}
    assert kind.facts(spec) == {"settings": None}
