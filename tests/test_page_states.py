"""What the page looks like in each of its states, in a real browser; also without scripts."""

import itertools

import pytest
from browser import WIDTHS, is_too_wide, opened, violations
from pages import MODEL, RED, Fake, paged, start
from scoring import free_port
from visiting import answered, cards, choose, file, heard, names

pytestmark = pytest.mark.timeout(120)


STATES = ("empty", "looking", "answered", "refused", "down", "no model")


# ---- states


def test_a_picture_is_seen_while_the_model_looks_at_it_and_can_be_taken_back(
    chromium, address, service
):
    with opened(chromium, address) as page:
        service.open.clear()
        choose(page, *[file(f"{name}.png") for name in "abcde"])
        assert cards(page, "waiting").count() == 5
        assert "Looking at it" in cards(page).first.inner_text()
        assert page.locator("#count").inner_text() == "0 of 5"
        page.wait_for_function("[...document.images].every(image => image.naturalWidth === 12)")
        for name in "da":  # the one waits still, the other is on its way
            page.get_by_role("button", name=f"Remove {name}.png").click()
        service.open.set()
        answered(page, 3)
        assert names(page) == ["b.png", "c.png", "e.png"]
        assert page.locator("#count").inner_text() == ""


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (file("notes.pdf", b"%PDF", "application/pdf"), "That is no picture."),
        (file("large.png", b"x" * 900_001), "Choose a picture of at most 0.9 MB."),
    ],
)
def test_what_is_not_worth_sending_is_not_sent(chromium, address, given, said):
    with opened(chromium, address) as page:
        sent = []
        page.on("request", lambda request: sent.append(request.method))
        choose(page, given, file())
        answered(page)
        assert said in cards(page, "refused").inner_text()
        assert cards(page, "refused").get_by_role("button", name="Try again").count() == 0
        assert sent.count("POST") == 1
        assert any(given["name"] in line and said.split(".")[0] in line for line in heard(page))


def test_more_than_may_come_at_a_time_are_left_out_and_that_is_said(chromium, address):
    with opened(chromium, address) as page:
        choose(page, *[file(f"{i}.png") for i in range(8)])
        answered(page, 6)
        assert cards(page).count() == 6
        assert page.locator("#left", has_text="2 pictures left out: 6 at a time.").is_visible()
        choose(page, file())
        answered(page, 7)
        assert page.locator("#left").inner_text() == ""


def test_a_service_that_is_down_can_be_tried_again(chromium, address, service):
    service.score, service.model = (
        (503, {"error": "not ready yet"}),
        (503, {"error": "not ready yet"}),
    )
    with opened(chromium, address) as page:
        assert "can not answer at the moment: not ready yet" in page.locator("#model").inner_text()
        choose(page, file("a.png"), file("b.png"))
        answered(page, 2, "down")
        service.score = 200, RED
        cards(page).first.get_by_role("button", name="Try again").click()
        answered(page)
        assert cards(page, "down").count() == 1
        service.model = 200, MODEL
        page.locator("#model").get_by_role("link", name="Try again").click()
        answered(page, 2)  # what waited for the model is asked again
        assert "colours version 7" in page.locator("#model").inner_text()
        assert page.evaluate("document.activeElement.id") == "model"


def test_what_somebody_in_between_says_is_no_answer(chromium, address):
    with opened(chromium, address, expected="status of 502") as page:
        for body in ("<html><h1>Bad gateway</h1></html>", "", "<p>x"):
            page.route("**/", lambda route, _, body=body: route.fulfill(status=502, body=body))
            choose(page, file())
            answered(page, state="down")
            assert "This page can not be reached." in cards(page).first.inner_text()
            page.get_by_role("button", name="Remove red.png").click()
        page.unroute_all()


def test_a_service_that_went_away_is_said(chromium, tmp_path):
    gone = Fake()
    with paged(gone.url, tmp_path / "page") as visitor:
        gone.close()
        with opened(chromium, visitor.address) as page:
            choose(page, file())
            answered(page, state="down")
            assert "can not be reached at the moment" in cards(page).inner_text()


def test_a_page_that_is_restarted_goes_on_and_one_that_is_gone_says_so(chromium, tmp_path, service):
    port = free_port()
    first = start(service.url, tmp_path / "page", port=port)
    with opened(chromium, first.address, expected="Failed to load resource") as page:
        first.process.terminate()
        first.process.wait(60)
        choose(page, file("a.png"))
        answered(page, state="down")
        assert "This page can not be reached." in cards(page).inner_text()
        with paged(service.url, tmp_path / "page", port=port):  # it knows no token of before
            cards(page).get_by_role("button", name="Try again").click()
            answered(page)


def test_a_client_that_asks_too_often_is_told_to_wait(chromium, tmp_path, service):
    with paged(service.url, tmp_path / "page", per_minute=7) as visitor:
        wanted = {"expected": "status of 429"}
        with opened(chromium, visitor.address, **wanted) as page:
            choose(page, *[file(f"{i}.png") for i in range(6)])
            answered(page, 6)
            choose(page, file("more.png"))
            answered(page, state="busy")
            assert "Try again in" in cards(page, "busy").inner_text()


# ---- for everybody


def to_state(page, service, state):
    """Brings a page there, as a person would meet it."""
    if state == "empty":
        return
    if state == "no model":
        service.model = 401, {"error": "no"}
        page.reload()
        return
    if state == "looking":
        service.open.clear()
    said = {"refused": (415, {"error": "no image of a known format"}), "down": (503, {})}
    service.score = said.get(state, (200, RED))
    choose(page, file("a rather long name of a file without any spaces_" * 3 + ".png"), file())
    answered(page, 2, "waiting" if state == "looking" else state)


@pytest.mark.parametrize("state", STATES)
def test_nothing_is_wrong_with_the_page(chromium, address, service, state):
    with opened(chromium, address, reduced_motion="reduce") as page:
        to_state(page, service, state)
        for width, scheme in itertools.product(WIDTHS.values(), ("light", "dark")):
            page.set_viewport_size({"width": width, "height": 800})
            page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
            assert not is_too_wide(page)
            assert violations(page) == {}
            paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
            assert (paper == "rgb(255, 255, 255)") == (scheme == "light")


@pytest.mark.parametrize("width", [*WIDTHS])
def test_without_scripts_it_is_a_form(chromium, address, service, width):
    with opened(chromium, address, WIDTHS[width], java_script_enabled=False) as page:
        choose(page, file("a.png"), file("b.png"))
        page.get_by_role("button", name="Look at them").click()
        assert names(page) == ["a.png", "b.png"]
        assert page.locator(".bars .first .label").all_inner_texts() == ["red", "red"]
        assert not page.get_by_role("button", name="Remove").first.is_visible()
        service.score = 503, {"error": "not ready yet"}
        choose(page, file("a.png"), file("b.txt", b"", "text/plain"))


@pytest.mark.parametrize("path", ["", "nothing", "nothing/at/all"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_is_wrong_with_the_form_and_the_page_of_an_error(chromium, address, path, scheme):
    """Both without scripts of their own: axe's is the browser's, which a policy does not stop."""
    how = {"color_scheme": scheme, "expected": "status of 404"}
    with opened(chromium, address + path, WIDTHS["phone"], **how) as page:
        page.evaluate("document.documentElement.classList.remove('js')")
        assert (
            page.locator(".button").last.evaluate("b => getComputedStyle(b).borderRadius") != "0px"
        )
        assert not is_too_wide(page)
        assert violations(page) == {}


def test_no_answer_at_all_without_scripts_is_said(chromium, address, service):
    service.score = 503, {"error": "not ready yet"}
    how = {"java_script_enabled": False, "expected": "Failed to load resource"}
    with opened(chromium, address, WIDTHS["phone"], **how) as page:
        choose(page, file("a.png"))
        page.get_by_role("button", name="Look at them").click()
        assert "can not answer at the moment: not ready yet" in page.locator(".card").inner_text()
        assert not is_too_wide(page)
        page.get_by_role("button", name="Look at them").click()
        assert page.get_by_role("heading", name="No picture was chosen.").is_visible()
        page.get_by_role("link", name="To the page").click()
        assert page.url == address


def test_a_thousand_classes_are_no_burden(chromium, tmp_path, service):
    labels = [f"class {i:04} of some length" for i in range(1000)]
    service.model = 200, {**MODEL, "card": {**MODEL["card"], "labels": labels}}
    with (
        paged(service.url, tmp_path / "page") as visitor,
        opened(chromium, visitor.address, WIDTHS["phone"]) as page,
    ):
        assert not page.get_by_text("class 0999").is_visible()
        page.get_by_text("1000 classes").click()
        assert page.locator(".classes").bounding_box()["height"] < 400
        assert not is_too_wide(page)
        assert violations(page) == {}
