"""What people do with the page and see of it, for its tests in a browser."""

import pytest
from pages import MODEL, RED, Fake, paged
from test_scoring import picture


@pytest.fixture(scope="module")
def _page(tmp_path_factory):
    """A page and the service behind it, for all tests of a file."""
    service = Fake()
    with paged(service.url, tmp_path_factory.mktemp("page")) as visitor:
        yield service, visitor
    service.close()


@pytest.fixture
def service(_page):
    """The service behind the page, as it is at first."""
    service, _ = _page
    service.model, service.score, service.headers = (200, MODEL), (200, RED), {}
    service.seconds, service.asked[:] = 0.0, []
    service.open.set()
    yield service
    service.open.set()


@pytest.fixture
def address(_page, service):  # noqa: ARG001 - the service is as it is at first
    """Where the page is."""
    return _page[1].address


def file(name="red.png", content=None, kind="image/png"):
    return {"name": name, "mimeType": kind, "buffer": picture() if content is None else content}


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
