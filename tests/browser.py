"""A real browser for the tests of pages: Debian's Chromium, driven by Playwright."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

WIDTHS = {"phone": 375, "laptop": 1280}
# Nothing but the page under test reaches a network, and a container's root needs no sandbox.
FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync")


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """The browser, one for a file: while its driver lives nobody else may run an event loop."""
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if not path:
        pytest.skip("LOUD: no chromium on the PATH, no page was looked at")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        pytest.skip("LOUD: no page was looked at: pip install 'mlops_spec[browser]'")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=[*FLAGS])
        yield browser
        browser.close()


@contextmanager
def opened(
    browser: Any, address: str, width: int = WIDTHS["laptop"], expected: str = "", **context: Any
):
    """A page, which must neither complain, but of what is expected, nor ask any other host."""
    ours = address.split("/")[2]
    complaints = []
    with browser.new_context(viewport={"width": width, "height": 800}, **context) as window:
        page = window.new_page()
        page.on("console", lambda said: complaints.append(f"{said.type}: {said.text}"))
        page.on("pageerror", lambda error: complaints.append(f"error: {error}"))
        page.on(
            "request",
            lambda request: (
                request.url.startswith("data:")
                or request.url.split("/")[2] == ours
                or complaints.append(f"asked {request.url}")
            ),
        )
        page.goto(address)
        yield page
        assert [each for each in complaints if not (expected and expected in each)] == []


def is_too_wide(page: Any) -> bool:
    """Whether a person would have to scroll the whole page sideways."""
    return page.evaluate(
        "document.documentElement.scrollWidth > document.documentElement.clientWidth"
    )


def violations(page: Any) -> dict[str, list[str]]:
    """What the rules of axe find: rule -> the places."""
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page).response["violations"]
    return {each["id"]: [node["html"][:120] for node in each["nodes"]] for each in found}
