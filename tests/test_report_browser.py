"""The report as a browser shows it: whole on a phone, in the dark, on paper, for everybody."""

import pytest
from browser import WIDTHS, is_too_wide, opened, violations
from reports import many, small

from mlops_spec import curves, report

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """A report of few classes with everything on it, and one of many."""
    folder = tmp_path_factory.mktemp("pages")
    made = {"few": small(folder / "few", wrong=2), "many": many(folder / "many", 120, 2000, 0.3)}
    made["very many"] = many(folder / "very many", 1000, 3000, 0.6)
    curves.write(made["few"].bundle, [(1, 2.0, 1.0, 0.5, 10), (2, 1.0, 0.5, 0.75, 20)])
    for name, inputs in made.items():
        report.write(inputs, folder / name)
    return {name: (folder / name / "report.html").as_uri() for name in made}


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [*WIDTHS])
@pytest.mark.parametrize("name", ["few", "many", "very many"])
def test_nothing_is_wrong_with_the_page(chromium, pages, name, width, scheme):
    with opened(chromium, pages[name], WIDTHS[width], color_scheme=scheme) as page:
        assert not is_too_wide(page)
        assert violations(page) == {}
        assert page.evaluate("document.documentElement.scrollHeight") < 20_000
        blank = "[...document.images].filter(image => !image.naturalWidth)"
        assert page.evaluate(f"{blank}.map(image => image.alt)") == []
        tall = "[...document.querySelectorAll('table.sorts tr')].filter(r => r.clientHeight > 90)"
        assert page.evaluate(f"{tall}.map(row => row.innerText)") == []


def first_column(page):
    return page.locator("#classes ~ div.scroll").first.locator("tbody th").all_inner_texts()


def test_classes_sort_by_any_column_with_the_mouse_and_the_keyboard(chromium, pages):
    with opened(chromium, pages["few"]) as page:
        heads = page.locator("#classes ~ div.scroll").first.locator("thead th")
        recall, name = heads.nth(2), heads.nth(0)
        recall.get_by_role("button").click()
        assert recall.get_attribute("aria-sort") == "descending"
        assert first_column(page)[-1] == "blue"  # the two that were painted red
        recall.get_by_role("button").press("Enter")
        assert recall.get_attribute("aria-sort") == "ascending"
        assert first_column(page)[0] == "blue"
        name.get_by_role("button").click()
        assert (name.get_attribute("aria-sort"), recall.get_attribute("aria-sort")) == (
            "ascending",
            None,
        )
        assert first_column(page) == ["blue", "green", "red"]


def test_a_square_of_a_large_matrix_says_what_it_is(chromium, pages):
    with opened(chromium, pages["many"], WIDTHS["phone"], has_touch=True) as page:
        square = page.locator(".heat img")
        side = (square.bounding_box()["width"] - 2) / 120  # of one class, without the border
        said = page.locator(".heat output")
        images, recall = page.locator("tr", has_text="class 0100").first.locator("td").all()[:2]
        right = round(int(images.inner_text()) * float(recall.inner_text()))
        square.tap(position={"x": 1 + 100.5 * side, "y": 1 + 100.5 * side})
        assert said.inner_text() == f"class 0100: {right} right"
        square.hover(position={"x": 1 + 119.5 * side, "y": 1 + 0.5 * side})
        assert said.inner_text().startswith("class 0000 taken for class 0119: ")


def test_the_page_is_whole_without_scripts(chromium, pages):
    with opened(chromium, pages["many"], java_script_enabled=False) as page:
        assert page.get_by_text("class 0119").count() >= 2
        page.get_by_role("link", name="Mistakes").click()
        assert page.locator("#mistakes").is_visible()


def test_paper_has_the_page_and_not_its_controls(chromium, pages):
    with opened(chromium, pages["few"], color_scheme="dark") as page:
        page.emulate_media(media="print", color_scheme="light")
        assert not page.get_by_role("navigation").is_visible()
        page.set_viewport_size({"width": 718, "height": 1000})  # A4 less its margins, at 96 dpi
        cut = "[...document.querySelectorAll('.scroll')].filter(s => s.scrollWidth > s.clientWidth)"
        assert page.evaluate(f"{cut}.map(s => s.outerHTML.slice(0, 100))") == []
        assert page.pdf(format="A4").startswith(b"%PDF")
