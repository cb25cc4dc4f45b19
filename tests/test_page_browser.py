"""The page as people use it, in a real browser: with a mouse, a keyboard, a phone."""

import base64

import pytest
import small_bundle
from browser import WIDTHS, opened
from pages import RED, paged
from scoring import serving
from test_scoring import picture
from visiting import answered, cards, choose, file, heard, names

pytestmark = pytest.mark.timeout(120)


# ---- how pictures come in


def test_one_photo_is_answered_with_bars_by_the_model_that_is_served(chromium, tmp_path):
    made = small_bundle.make(tmp_path / "bundle", metrics={"accuracy": 0.97})
    with serving(made, tmp_path / "service") as real:
        url = f"http://127.0.0.1:{real.port}"
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


def test_pictures_stay_in_order_and_can_be_removed(chromium, address, service):
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
        assert len([each for each in service.asked if each[0] == "POST"]) == 4


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
        ours = """(place, given) => !place.dispatchEvent(
            new DragEvent("drop", { ...given, bubbles: true, cancelable: true }))"""
        assert page.locator("h1").evaluate(ours, given)  # the browser does not open the file
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


def test_a_picture_can_be_pasted(chromium, address, service):
    with opened(chromium, address) as page:
        page.evaluate(
            "given => document.dispatchEvent(new ClipboardEvent('paste', {clipboardData: given}))",
            transfer(page, file("image.png")),
        )
        answered(page)
        assert names(page) == ["image.png"]
        (posted,) = [each for each in service.asked if each[0] == "POST"]
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


# ---- for everybody


def test_a_keyboard_is_enough(chromium, address, service):
    service.score = 503, {}
    with opened(chromium, address) as page:
        chosen = []

        def noted(chooser):
            chosen.append(chooser)

        page.on("filechooser", noted)  # early: the browser is told of it in its own time
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.id") == "choose"
        ring = "getComputedStyle(document.querySelector('label[for=choose]')).outlineStyle"
        assert page.evaluate(ring) == "solid"
        page.keyboard.press("Enter")
        while not chosen:
            page.wait_for_timeout(50)  # the test's own limit of time ends it
        chosen[0].set_files([file("a.png"), file("b.png")])
        answered(page, 2, "down")
        service.score = 200, RED
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
