"""Downloads, from a real server on loopback that can misbehave in every way that servers do."""

import hashlib
import socket
from types import SimpleNamespace

import pytest
from bad_server import CONTENT, DIGEST, OTHER, QUERY, Server, serving

from mlops_spec.errors import StepError
from trainers.datasets import _fetch


@pytest.fixture
def server():
    with serving() as server:
        yield server


@pytest.fixture(autouse=True)
def _without_pauses(monkeypatch):
    monkeypatch.setattr(_fetch, "_PAUSES", (0, 0, 0))
    monkeypatch.setenv("no_proxy", "127.0.0.1,localhost")


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def refused(server, folder, sha256=DIGEST):
    """The words of a refusal; none of them is a secret."""
    with pytest.raises(StepError) as caught:
        _fetch.fetch(server.url, sha256, folder)
    assert "5ecret" not in str(caught.value)
    assert caught.value.cure
    return caught.value.message


def cut(server, folder, after):
    """Leaves a part, as a process does that is gone in the middle."""
    server.cuts = [after] + [0] * 3
    assert "was cut 4 times" in refused(server, folder)
    server.asked.clear()
    assert (folder / "dogs.tar.part").read_bytes() == CONTENT[:after]


def test_a_file_is_fetched_whole_and_nothing_is_left_beside_it(server, tmp_path):
    path = _fetch.fetch(server.url, DIGEST, tmp_path / "a" / "b")
    assert path.read_bytes() == CONTENT
    assert names(path.parent) == [path.name] == ["dogs.tar"]


def test_a_finished_download_is_not_fetched_again(server, tmp_path):
    for _ in range(2):
        _fetch.fetch(server.url, DIGEST, tmp_path)
    assert server.asked == [None]


def test_a_finished_download_that_was_damaged_is_fetched_again(server, tmp_path):
    path = _fetch.fetch(server.url, DIGEST, tmp_path)
    path.write_bytes(OTHER)
    assert _fetch.fetch(server.url, DIGEST, tmp_path).read_bytes() == CONTENT


def test_a_connection_that_is_cut_goes_on_and_asks_for_the_rest_only(server, tmp_path, capsys):
    server.cuts = [300_000, 400_000]
    assert _fetch.fetch(server.url, DIGEST, tmp_path).read_bytes() == CONTENT
    assert server.asked == [None, "bytes=300000-", "bytes=700000-"]
    said = capsys.readouterr().out
    assert "cut after 0.3 of 1.0 MB; again in 0 s" in said
    assert "5ecret" not in said


def test_another_process_goes_on_with_what_the_first_one_left(server, tmp_path):
    cut(server, tmp_path, 500_000)
    assert _fetch.fetch(server.url, DIGEST, tmp_path).read_bytes() == CONTENT
    assert server.asked == ["bytes=500000-"]
    assert names(tmp_path) == ["dogs.tar"]


def test_a_part_that_is_all_of_it_already_is_not_asked_for(server, tmp_path):
    (tmp_path / "dogs.tar.part").write_bytes(CONTENT)
    assert _fetch.fetch(server.url, DIGEST, tmp_path).read_bytes() == CONTENT
    assert server.asked == []


def test_a_server_that_ignores_ranges_starts_again(server, tmp_path):
    cut(server, tmp_path, 500_000)
    server.understands = set()
    assert _fetch.fetch(server.url, DIGEST, tmp_path).read_bytes() == CONTENT
    assert server.asked == ["bytes=500000-"]


def test_a_server_that_answers_with_another_range_starts_again(server, tmp_path):
    cut(server, tmp_path, 500_000)
    server.understands, server.codes = set(), [206]
    assert _fetch.fetch(server.url, DIGEST, tmp_path).read_bytes() == CONTENT
    assert server.asked == ["bytes=500000-", None]


def test_a_range_that_nobody_asked_for_is_all_of_it(server, tmp_path):
    (tmp_path / "dogs.tar.part").write_bytes(OTHER[:1000])
    server.codes = [206]
    assert _fetch.fetch(server.url, DIGEST, tmp_path).read_bytes() == CONTENT


@pytest.mark.parametrize("name", ["ETag", "Last-Modified"])
@pytest.mark.parametrize("understands", [{"Range", "If-Range"}, {"Range"}], ids=len)
def test_a_file_that_changed_in_between_starts_again(server, tmp_path, name, understands):
    server.tags = {name: "Mon, 01 Jan 2024 00:00:00 GMT"}
    cut(server, tmp_path, 500_000)
    server.tags = {name: "Tue, 02 Jan 2024 00:00:00 GMT"}
    server.understands, server.content = understands, OTHER
    digest = hashlib.sha256(OTHER).hexdigest()
    assert _fetch.fetch(server.url, digest, tmp_path).read_bytes() == OTHER
    assert server.asked == ["bytes=500000-", None][: 3 - len(understands)]


def test_a_weak_etag_is_compared_too(server, tmp_path):
    server.tags = {"ETag": 'W/"one"'}
    cut(server, tmp_path / "same", 500_000)
    _fetch.fetch(server.url, DIGEST, tmp_path / "same")
    assert server.sent[-1] == len(CONTENT) - 500_000
    cut(server, tmp_path, 500_000)
    server.tags, server.content = {"ETag": 'W/"two"'}, OTHER
    digest = hashlib.sha256(OTHER).hexdigest()
    assert _fetch.fetch(server.url, digest, tmp_path).read_bytes() == OTHER


def test_a_file_that_became_shorter_than_its_part_starts_again(server, tmp_path):
    cut(server, tmp_path, 500_000)
    server.content = CONTENT[:1000]
    digest = hashlib.sha256(server.content).hexdigest()
    path = _fetch.fetch(server.url, digest, tmp_path)
    assert path.read_bytes() == server.content
    assert server.asked == ["bytes=500000-", None]


def test_a_part_of_which_nobody_knows_what_it_is_starts_again(server, tmp_path):
    (tmp_path / "dogs.tar.part").write_bytes(OTHER[:1000])
    (tmp_path / "dogs.tar.part.json").write_text("{")
    assert _fetch.fetch(server.url, DIGEST, tmp_path).read_bytes() == CONTENT
    assert server.asked == [None]


@pytest.mark.parametrize("code", [503, 429])
def test_a_busy_server_is_asked_again(server, tmp_path, code):
    server.codes = [code, code]
    assert _fetch.fetch(server.url, DIGEST, tmp_path).read_bytes() == CONTENT


@pytest.mark.parametrize("code", [404, 403, 416])
def test_a_server_that_says_no_is_believed_at_once(server, tmp_path, code):
    server.codes = [code]
    assert f"the server answers {code} " in refused(server, tmp_path)
    assert len(server.asked) == 1


def test_a_server_that_cuts_for_ever_is_given_up(server, tmp_path):
    server.cuts = [0] * 10
    assert "was cut 4 times, at last: the connection was cut after 0.0" in refused(server, tmp_path)
    assert len(server.asked) == 4


def test_another_file_than_the_spec_says_is_kept_aside_and_never_taken(server, tmp_path):
    server.content = OTHER
    message = refused(server, tmp_path)
    assert DIGEST in message
    assert hashlib.sha256(OTHER).hexdigest() in message
    assert names(tmp_path) == ["dogs.tar.unverified"]
    server.content = CONTENT
    assert _fetch.fetch(server.url, DIGEST, tmp_path).read_bytes() == CONTENT
    assert names(tmp_path) == ["dogs.tar"]


def test_a_short_file_of_a_server_that_tells_no_length_is_another_file(server, tmp_path):
    server.sized, server.cuts = False, [1000]
    assert f"not {DIGEST} as the spec says" in refused(server, tmp_path)


def test_no_server_is_said_at_once(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        server = Server()
        server.url = f"http://127.0.0.1:{taken.getsockname()[1]}/dogs.tar?{QUERY}"
        assert "can not reach http://127.0.0.1:" in refused(server, tmp_path)


@pytest.mark.parametrize("url", ["http://", "http://[x/a?sig=5ecret", "http://a b/?sig=5ecret"])
def test_what_is_no_url_is_an_error_without_its_query(tmp_path, url):
    with pytest.raises(StepError) as caught:
        _fetch.fetch(url, DIGEST, tmp_path)
    assert "5ecret" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("http://a/b/c.tar", "c.tar"),
        ("http://a/b/..%2F..%2Fc.tar?x=/d", "_.._c.tar"),
        ("http://a/..", "archive"),
        ("http://a/", "archive"),
        ("http://a/%00caf%C3%A9.zip", "_caf_.zip"),
    ],
)
def test_a_download_has_a_harmless_name(url, name):
    assert _fetch._file_name(url) == name


def test_a_url_is_shown_without_password_and_query():
    url = "https://me:5ecret@a.b:8/c/d.tar?sig=5ecret#5ecret"
    assert _fetch.shown(url) == "https://a.b:8/c/d.tar"


def disk(monkeypatch, room):
    """A disk on which `room()` bytes may be written, and no more."""
    usage = lambda _: SimpleNamespace(free=_fetch._SPARE + room())  # noqa: E731
    monkeypatch.setattr(_fetch.shutil, "disk_usage", usage)


def test_a_disk_without_room_is_said_before_anything_is_written(server, tmp_path, monkeypatch):
    disk(monkeypatch, lambda: 1000)
    assert "the disk has 268.4 MB left, 269.5 MB are needed" in refused(server, tmp_path)
    assert (tmp_path / "dogs.tar.part").stat().st_size == 0


def test_a_disk_that_fills_up_stops_a_download_that_never_ends(server, tmp_path, monkeypatch):
    server.sized, part = False, tmp_path / "dogs.tar.part"
    disk(monkeypatch, lambda: 400_000 - (part.stat().st_size if part.exists() else 0))
    monkeypatch.setattr(_fetch, "CHUNK", 1000)
    assert "the disk has" in refused(server, tmp_path)
    assert 380_000 < part.stat().st_size <= 420_000  # what is still buffered


def test_a_folder_that_can_not_be_written_is_a_step_error(server, tmp_path):
    (tmp_path / "file").write_text("")
    assert "cannot write" in refused(server, tmp_path / "file" / "below")


def test_progress_is_one_line_now_and_then(server, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(_fetch, "_EVERY", 0)
    _fetch.fetch(server.url, DIGEST, tmp_path)
    lines = capsys.readouterr().out.splitlines()
    shown = server.url.partition("?")[0]
    assert lines[-1] == f"fetching {shown}: 1.0 of 1.0 MB, 100%, 0 min 0 s left"
    monkeypatch.setattr(_fetch, "_EVERY", 1000)
    _fetch.fetch(server.url, DIGEST, tmp_path / "again")
    assert capsys.readouterr().out == ""


def test_a_file_of_this_machine_is_checked_and_taken_where_it_is(tmp_path):
    path = tmp_path / "dogs.tar"
    path.write_bytes(CONTENT)
    assert _fetch.fetch(str(path), DIGEST, tmp_path / "cache") == path
    assert _fetch.fetch(str(path), None, tmp_path / "cache") == path
    with pytest.raises(StepError, match=f"has the sha256 {DIGEST}, not 0000"):
        _fetch.fetch(str(path), "0" * 64, tmp_path / "cache")
    with pytest.raises(StepError, match="there is no file"):
        _fetch.fetch(f"{path}.gz", None, tmp_path / "cache")
    assert names(tmp_path) == ["dogs.tar"]
