"""Archives that are damaged or end early, disks without room, processes that are interrupted."""

import errno
import gzip
import io
import os
import tarfile
from types import SimpleNamespace

import pytest
from test_archive import GOOD, LIMITS, MAKERS, content, everything, refused, tar_of, zip_of

from mlops_spec import files
from mlops_spec.errors import StepError
from trainers.datasets import _archive, _entries, _fetch

pytestmark = pytest.mark.slow  # every archive, cut off everywhere


@pytest.fixture
def place(tmp_path):
    """A folder, with room above it for what would leave it."""
    folder = tmp_path / "above" / "around"
    folder.mkdir(parents=True)
    return folder


def sized(value):
    """An entry whose extended header says that it has another size than it has."""
    return {"name": "b.jpg", "pax_headers": {"size": value}}


def sparse(**headers):
    return {"name": "b.jpg", "pax_headers": {f"GNU.sparse.{k}": v for k, v in headers.items()}}


HEADERS = {
    "a header of megabytes": (
        {"name": "a", "pax_headers": {"comment": "x" * 5_000_000}},
        "bytes of headers",
    ),
    "a name of megabytes": ({"name": "a" * 5_000_000}, "bytes of headers"),
    "a size below zero": (sized("-1024"), "'b.jpg' has a size below zero"),
    "a size that leads back": (sized("-2048"), "'b.jpg' has a size below zero"),
    "a size without end": (sized("9" * 30), "damaged"),
    "a size that is none": (sized("x"), "damaged"),
    "a sparse file": (sparse(map="0,1000", size="1000"), "'b.jpg' is a sparse file"),
    "a vast sparse file": (sparse(map="0,1000", size="9" * 12), "'b.jpg' is a sparse file"),
}


@pytest.mark.timeout(20)
@pytest.mark.parametrize("name", HEADERS)
def test_a_header_that_would_fill_memory_or_never_end_is_refused(place, name):
    entry, what = HEADERS[name]
    made = tar_of([("a.jpg", b"x"), (entry, b"x" * 1000)], place / "a", gzip.compress)
    assert what in refused(made)


def test_a_tar_file_is_never_read_backwards():
    forward = _entries._Forward(io.BytesIO(bytes(1000)))
    forward.read(600)
    with pytest.raises(tarfile.ReadError, match="-100 bytes"):
        forward.seek(500)
    forward.seek(700)
    assert forward.tell() == 700


@pytest.mark.timeout(20)
def test_headers_without_a_file_are_refused(place):
    head = tarfile.TarInfo.create_pax_global_header({"comment": "x"})
    made = place / "a"
    made.write_bytes(gzip.compress(head * 10_000))
    assert "bytes of headers" in refused(made)


# Damaged, interrupted, no room


@pytest.mark.parametrize("form", MAKERS)
def test_an_archive_that_ends_early_is_refused_wherever_it_ends(place, form):
    noise = [(f"{i}.jpg", os.urandom(700)) for i in range(4)]
    whole = MAKERS[form](noise, place / "a").read_bytes()
    end = whole.rstrip(b"\0") if form == "tar" else whole  # its last blocks are empty
    for length in {0, 1, 10, 511, 512, 513, 1024, 2048, *range(3, len(end), 97)}:
        if length < len(end):
            (place / "a").write_bytes(whole[:length])
            assert "is no zip or tar file, or damaged" in refused(place / "a")


@pytest.mark.parametrize("form", ["zip", "tar.gz", "tar.bz2", "tar.xz"])
def test_a_content_that_is_damaged_is_refused(place, form):
    made = MAKERS[form]([("1.jpg", os.urandom(5000)), ("2.jpg", b"x")], place / "a")
    held = bytearray(made.read_bytes())
    held[2500] ^= 255
    made.write_bytes(held)
    assert "damaged" in refused(made)


def test_what_follows_the_end_of_a_tar_file_is_refused(place):
    made = tar_of(GOOD.items(), place / "a")
    made.write_bytes(made.read_bytes() + tar_of([("b.jpg", b"x")], place / "b").read_bytes())
    assert "something follows its end" in refused(made)


@pytest.mark.parametrize("junk", [b"", b"<html>not found", b"PK\x03\x04junk", b"\x1f\x8bjunk"])
def test_what_is_no_archive_is_refused(place, junk):
    (place / "a.zip").write_bytes(junk)
    assert "a.zip is no zip or tar file, or damaged" in refused(place / "a.zip")


def interrupted(monkeypatch, error):
    """Lets the disk answer with an error, at the second file."""
    answers = iter([None, None, error])

    def room(*_):
        answer = next(answers)
        if answer:
            raise answer

    monkeypatch.setattr(_archive, "room", room)


@pytest.mark.parametrize(
    ("error", "what"),
    [
        (KeyboardInterrupt("x"), "x"),
        (SystemExit("x"), "x"),
        (OSError(errno.ENOSPC, "no space"), "cannot write: no space\n  the disk is full"),
        (OSError(errno.EILSEQ, "no such letters"), "damaged .*no such letters"),
    ],
)
def test_an_interruption_leaves_nothing_and_the_next_attempt_starts_again(
    place, monkeypatch, error, what
):
    made = zip_of(GOOD.items(), place / "a")
    before = everything(place)
    with monkeypatch.context() as patch:
        interrupted(patch, error)
        with pytest.raises(StepError if isinstance(error, OSError) else type(error), match=what):
            _archive.extract(made, place / "images", LIMITS)
    assert everything(place) == before
    _archive.extract(made, place / "images", LIMITS)
    assert content(place / "images") == GOOD


def test_what_a_killed_process_left_is_swept_away(place):
    files.write_text(place / ".images.part" / "ants" / "half.jpg", "half")
    _archive.extract(zip_of(GOOD.items(), place / "a"), place / "images", LIMITS)
    assert content(place / "images") == GOOD
    assert not (place / ".images.part").exists()


def test_room_is_asked_for_before_anything_is_written(place, monkeypatch):
    asked = []
    monkeypatch.setattr(_archive, "room", lambda _, needed: asked.append(needed))
    monkeypatch.setattr(_archive, "CHUNK", 30_000)
    made = zip_of([("a.jpg", bytes(50_000)), ("b.jpg", b"x")], place / "a")
    _archive.extract(made, place / "images", LIMITS)
    assert asked == [made.stat().st_size, 50_000, 30_000, 20_000, 1, 1]


@pytest.mark.parametrize("form", ["tar.gz", "zip"])
def test_a_disk_without_room_is_said_before_it_is_full(place, monkeypatch, form):
    spare = _fetch._SPARE
    made = MAKERS[form]([("a.jpg", bytes(50_000)), ("b.jpg", bytes(50_000))], place / "a")

    def usage(folder):
        used = sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())
        return SimpleNamespace(free=spare + 90_000 - used)

    monkeypatch.setattr(_fetch.shutil, "disk_usage", usage)
    assert "the disk has" in refused(made)
