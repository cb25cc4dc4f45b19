"""The page as people use it, in a real browser: with a mouse, a keyboard, a phone, or no script."""

import base64

import pytest
import small_bundle
from browser import WIDTHS, is_too_wide, opened, violations
from pages import MODEL, RED, Fake, paged, start
from scoring import free_port, serving
from test_scoring import picture

pytestmark = pytest.mark.timeout(120)
STATES = ("empty", "looking", "answered", "refused", "down", "no model")


def file(name="red.png", content=None, kind="image/png"):
    return {"name": name, "mimeType": kind, "buffer": picture() if content is None else content}


@pytest.fixture(scope="module")
def service():
    found = Fake()
    yield found
    found.close()


@pytest.fixture(autouse=True)
def fake(service):
    """The service behind the page, as it is at first."""
    service.model, service.score, service.headers = (200, MODEL), (200, RED), {}
    service.seconds, service.asked[:] = 0.0, []
    service.open.set()
    yield service
    service.open.set()


@pytest.fixture(scope="module")
def address(service, tmp_path_factory):
    with paged(service.url, tmp_path_factory.mktemp("page")) as visitor:
        yield visitor.address


def cards(page, state=None):
    return page.locator(f".card[data-state={state}]" if state else ".card")


def choose(page, *files):
    page.locator("#choose").set_input_files([*files])


def answered(page, count=1, state="answered"):
    """Waits until so many pictures have it."""
    cards(page, state).nth(count - 1).wait_for()


def names(page):
    return page.locator(".card .file").all_inner_texts()


def heard(page):
    """What a screen reader was told."""
    return page.locator("[role=log] p").all_text_contents()


# ---- how pictures come in


def test_one_photo_is_answered_with_bars_by_the_model_that_is_served(chromium, tmp_path):
    made = small_bundle.make(tmp_path / "bundle", metrics={"accuracy": 0.97})
    with serving(made, tmp_path / "service") as service:
        url = f"http://127.0.0.1:{service.port}"
        still = {"reduced_motion": "reduce"}
        with (
            paged(url, tmp_path / "page") as visitor,
            opened(chromium, visitor.address, **still) as page,
        ):
            choose(page, file(), file("broken.png", b"no picture"))
            answered(page)
            answered(page, state="refused")
            rows = cards(page, "answered").locator(".bars li").all()
            assert rows[0].locator(".label").inner_text() == "red"
            wide = [row.locator("rect").bounding_box()["width"] for row in rows]
            full = rows[0].locator(".bar").bounding_box()["width"]
            shares = [float(row.locator(".share").inner_text()[:-2]) for row in rows]
            assert [x / full * 100 for x in wide] == pytest.approx(shares, abs=0.3)
            assert "No image of a known format" in cards(page, "refused").inner_text()
            assert page.locator("#model").inner_text().count("97.0 %") == 1
            assert cards(page).locator("img").first.evaluate("image => image.naturalWidth") == 12


def test_pictures_stay_in_order_and_can_be_removed(chromium, address, fake):
    with opened(chromium, address) as page:
        choose(page, file("a.png"), file("b.png"), file("c.png"))
        answered(page, 3)
        assert names(page) == ["a.png", "b.png", "c.png"]
        choose(page, file("d.png"))
        answered(page, 4)
        assert names(page) == ["d.png", "a.png", "b.png", "c.png"]  # the latest is seen
        page.get_by_role("button", name="Remove b.png").click()
        assert names(page) == ["d.png", "a.png", "c.png"]
        page.get_by_role("button", name="Remove all").click()
        assert names(page) == []
        assert not page.get_by_role("heading", name="Answers").is_visible()
        assert len([each for each in fake.asked if each[0] == "POST"]) == 4


def transfer(page, *files):
    """What a browser hands over with files that are dropped or pasted."""
    given = [(f["name"], f["mimeType"], base64.b64encode(f["buffer"]).decode()) for f in files]
    return page.evaluate_handle(
        """files => { const all = new DataTransfer();
        for (const [name, type, text] of files) {
          const bytes = Uint8Array.from(atob(text), c => c.charCodeAt(0));
          all.items.add(new File([bytes], name, { type }));
        } return all; }""",
        given,
    )


def test_pictures_can_be_dropped_anywhere(chromium, address):
    with opened(chromium, address) as page:
        given = {"dataTransfer": transfer(page, file("a.png"), file("b.png"))}
        page.dispatch_event("h1", "dragover", given)
        assert page.locator("form.over").count() == 1
        page.dispatch_event("h1", "drop", given)
        answered(page, 2)
        assert names(page) == ["a.png", "b.png"]
        assert page.locator("form.over").count() == 0
        assert page.url == address


def test_a_text_that_is_dragged_is_not_ours(chromium, address):
    with opened(chromium, address) as page:
        stopped = page.evaluate(
            """() => { const text = new DataTransfer(); text.setData("text/plain", "x");
            const event = new DragEvent("drop", { dataTransfer: text, cancelable: true });
            return !document.dispatchEvent(event); }"""
        )
        assert (stopped, cards(page).count()) == (False, 0)


def test_a_picture_can_be_pasted(chromium, address, fake):
    with opened(chromium, address) as page:
        page.evaluate(
            "given => document.dispatchEvent(new ClipboardEvent('paste', {clipboardData: given}))",
            transfer(page, file("image.png")),
        )
        answered(page)
        assert names(page) == ["image.png"]
        (posted,) = [each for each in fake.asked if each[0] == "POST"]
        assert posted[3] == picture()


def test_a_phone_offers_its_camera(chromium, address):
    phone = {"has_touch": True, "is_mobile": True}
    with opened(chromium, address, WIDTHS["phone"], **phone) as page:
        assert page.get_by_text("Take a photo").is_visible()
        camera = page.locator("#photo")
        assert camera.get_attribute("capture") == "environment"
        camera.set_input_files([file("photo.jpg", kind="image/jpeg")])
        answered(page)
    with opened(chromium, address) as page:
        assert not page.get_by_text("Take a photo").is_visible()


# ---- states


def test_a_picture_is_seen_while_the_model_looks_at_it_and_can_be_taken_back(
    chromium, address, fake
):
    with opened(chromium, address) as page:
        fake.open.clear()
        choose(page, file("a.png"), file("b.png"))
        assert cards(page, "waiting").count() == 2
        assert "Looking at it" in cards(page).first.inner_text()
        assert page.locator("#count").inner_text() == "0 of 2"
        page.wait_for_function("[...document.images].every(image => image.naturalWidth === 12)")
        page.get_by_role("button", name="Remove a.png").click()
        fake.open.set()
        answered(page)
        assert names(page) == ["b.png"]
        assert page.locator("#count").inner_text() == ""


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (file("notes.pdf", b"%PDF", "application/pdf"), "That is no picture."),
        (file("large.png", b"x" * 900_001), "Choose a picture of at most 0.9 MB."),
    ],
)
def test_what_is_not_worth_sending_is_not_sent(chromium, address, fake, given, said):
    with opened(chromium, address) as page:
        choose(page, given, file())
        answered(page)
        assert said in cards(page, "refused").inner_text()
        assert cards(page, "refused").get_by_role("button", name="Try again").count() == 0
        assert len([each for each in fake.asked if each[0] == "POST"]) == 1
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


def test_a_service_that_is_down_can_be_tried_again(chromium, address, fake):
    fake.score, fake.model = (503, {"error": "not ready yet"}), (503, {"error": "not ready yet"})
    with opened(chromium, address) as page:
        assert "can not answer at the moment: not ready yet" in page.locator("#model").inner_text()
        choose(page, file("a.png"), file("b.png"))
        answered(page, 2, "down")
        fake.score = 200, RED
        cards(page).first.get_by_role("button", name="Try again").click()
        answered(page)
        assert cards(page, "down").count() == 1
        fake.model = 200, MODEL
        page.locator("#model").get_by_role("link", name="Try again").click()
        answered(page, 2)  # what waited for the model is asked again
        assert "colours version 7" in page.locator("#model").inner_text()


def test_a_service_that_went_away_is_said(chromium, tmp_path):
    gone = Fake()
    with paged(gone.url, tmp_path / "page") as visitor:
        gone.close()
        with opened(chromium, visitor.address) as page:
            choose(page, file())
            answered(page, state="down")
            assert "can not be reached at the moment" in cards(page).inner_text()


def test_a_page_that_is_restarted_goes_on_and_one_that_is_gone_says_so(chromium, tmp_path, fake):
    port = free_port()
    first = start(fake.url, tmp_path / "page", port=port)
    with opened(chromium, first.address, expected="Failed to load resource") as page:
        first.process.terminate()
        first.process.wait(15)
        choose(page, file("a.png"))
        answered(page, state="down")
        assert "This page can not be reached." in cards(page).inner_text()
        with paged(fake.url, tmp_path / "page", port=port):  # it knows no token of before
            cards(page).get_by_role("button", name="Try again").click()
            answered(page)


def test_a_client_that_asks_too_often_is_told_to_wait(chromium, tmp_path, fake):
    with paged(fake.url, tmp_path / "page", per_minute=7) as visitor:
        wanted = {"expected": "status of 429"}
        with opened(chromium, visitor.address, **wanted) as page:
            choose(page, *[file(f"{i}.png") for i in range(6)])
            answered(page, 6)
            choose(page, file("more.png"))
            answered(page, state="busy")
            assert "Try again in" in cards(page, "busy").inner_text()


# ---- for everybody


def test_a_keyboard_is_enough(chromium, address, fake):
    fake.score = 503, {}
    with opened(chromium, address) as page:
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.id") == "choose"
        ring = "getComputedStyle(document.querySelector('label[for=choose]')).outlineStyle"
        assert page.evaluate(ring) == "solid"
        with page.expect_file_chooser() as opening:
            page.keyboard.press("Enter")
        opening.value.set_files([file("a.png"), file("b.png")])
        answered(page, 2, "down")
        fake.score = 200, RED
        page.keyboard.press("Tab")  # Take a photo, hidden here, is passed over
        seen = []
        for _ in range(3):
            seen.append(
                page.evaluate(
                    "document.activeElement.ariaLabel ?? document.activeElement.innerText"
                )
            )
            page.keyboard.press("Tab")
        assert seen == ["Remove all", "Remove a.png", "Try again"]
        page.keyboard.press("Shift+Tab")
        page.keyboard.press("Enter")
        answered(page)
        assert page.evaluate("document.activeElement.ariaLabel") == "Remove a.png"
        page.keyboard.press("Enter")
        assert page.evaluate("document.activeElement.ariaLabel") == "Remove b.png"
        page.keyboard.press("Enter")
        assert page.evaluate("document.activeElement.id") == "choose"


def test_a_screen_reader_is_told_what_happens(chromium, address):
    with opened(chromium, address) as page:
        choose(page, file("a.png"), file("b.txt", b"x", "text/plain"))
        answered(page)
        assert heard(page) == [
            "b.txt: That is no picture.",
            "2 pictures added. ",
            "a.png: red, 90.0 %",
        ]
        assert page.get_by_role("log").get_attribute("aria-label")


def to_state(page, fake, state):
    """Brings a page there, as a person would meet it."""
    if state == "empty":
        return
    if state == "no model":
        fake.model = 401, {"error": "no"}
        page.reload()
        return
    if state == "looking":
        fake.open.clear()
    said = {"refused": (415, {"error": "no image of a known format"}), "down": (503, {})}
    fake.score = said.get(state, (200, RED))
    choose(page, file("a rather long name of a file without any spaces_" * 3 + ".png"), file())
    answered(page, 2, "waiting" if state == "looking" else state)


LOOKS = [(width, scheme) for width in WIDTHS for scheme in ("light", "dark")]


@pytest.mark.parametrize("look", LOOKS, ids="-".join)
@pytest.mark.parametrize("state", STATES)
def test_nothing_is_wrong_with_the_page(chromium, address, fake, state, look):
    width, scheme = look
    how = {"color_scheme": scheme, "reduced_motion": "reduce", "has_touch": width == "phone"}
    with opened(chromium, address, WIDTHS[width], **how) as page:
        to_state(page, fake, state)
        assert not is_too_wide(page)
        assert violations(page) == {}
        dark = (
            page.evaluate("getComputedStyle(document.body).backgroundColor") != "rgb(255, 255, 255)"
        )
        assert dark == (scheme == "dark")


@pytest.mark.parametrize("width", [*WIDTHS])
def test_without_scripts_it_is_a_form(chromium, address, fake, width):
    with opened(chromium, address, WIDTHS[width], java_script_enabled=False) as page:
        choose(page, file("a.png"), file("b.png"))
        page.get_by_role("button", name="Look at them").click()
        assert names(page) == ["a.png", "b.png"]
        assert page.locator(".bars .first .label").all_inner_texts() == ["red", "red"]
        assert not page.get_by_role("button", name="Remove").first.is_visible()
        fake.score = 503, {"error": "not ready yet"}
        choose(page, file("a.png"), file("b.txt", b"", "text/plain"))


@pytest.mark.parametrize("path", ["", "nothing"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_is_wrong_with_the_form_and_the_page_of_an_error(chromium, address, path, scheme):
    """Both without scripts of their own: axe's is the browser's, which a policy does not stop."""
    how = {"color_scheme": scheme, "expected": "status of 404"}
    with opened(chromium, address + path, WIDTHS["phone"], **how) as page:
        page.evaluate("document.documentElement.classList.remove('js')")
        assert not is_too_wide(page)
        assert violations(page) == {}


def test_no_answer_at_all_without_scripts_is_said(chromium, address, fake):
    fake.score = 503, {"error": "not ready yet"}
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


def test_a_thousand_classes_are_no_burden(chromium, tmp_path, fake):
    labels = [f"class {i:04} of some length" for i in range(1000)]
    fake.model = 200, {**MODEL, "card": {**MODEL["card"], "labels": labels}}
    with (
        paged(fake.url, tmp_path / "page") as visitor,
        opened(chromium, visitor.address, WIDTHS["phone"]) as page,
    ):
        assert not page.get_by_text("class 0999").is_visible()
        page.get_by_text("1000 classes").click()
        assert page.locator(".classes").bounding_box()["height"] < 400
        assert not is_too_wide(page)
        assert violations(page) == {}
