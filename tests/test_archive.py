"""Archives: good ones of every sort, and hostile ones, which must leave nothing anywhere."""

import bz2
import gzip
import io
import lzma
import os
import stat
import tarfile
import zipfile

import pytest

from mlops_spec.errors import StepError
from trainers.datasets import _archive

LIMITS = _archive.Limits(max_files=50, max_bytes=200_000, max_file_bytes=100_000)
GOOD = {"ants/1.jpg": b"one", "bees/2.jpg": b"two", "bees/deep/3.jpg": b"x" * 70_000}


def tar_of(entries, path, compress=lambda content: content):
    """A tar file of (entry, content) pairs; an entry is a name, or settings of a TarInfo."""
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w", format=tarfile.PAX_FORMAT) as made:
        for settings, content in entries:
            given = {"name": settings} if isinstance(settings, str) else settings
            info = tarfile.TarInfo()
            for name, value in {"size": len(content), **given}.items():
                setattr(info, name, value)
            made.addfile(info, io.BytesIO(content))
    path.write_bytes(compress(held.getvalue()))
    return path


def zip_of(entries, path, method=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", method) as made:
        for settings, content in entries:
            given = {"filename": settings} if isinstance(settings, str) else settings
            info = zipfile.ZipInfo()
            for name, value in {"compress_type": method, **given}.items():
                setattr(info, name, value)
            made.writestr(info, content)
    return path


MAKERS = {
    "tar": tar_of,
    "tar.gz": lambda entries, path: tar_of(entries, path, gzip.compress),
    "tar.bz2": lambda entries, path: tar_of(entries, path, bz2.compress),
    "tar.xz": lambda entries, path: tar_of(entries, path, lzma.compress),
    "zip": zip_of,
    "stored zip": lambda entries, path: zip_of(entries, path, zipfile.ZIP_STORED),
    "lzma zip": lambda entries, path: zip_of(entries, path, zipfile.ZIP_LZMA),
}


def everything(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
    }


def content(folder):
    return {name: held for name, held in everything(folder).items() if held is not None}


def refused(made, limits=LIMITS):
    """What a refusal says; it must leave everything as it was."""
    around = made.parent
    before = everything(around.parent)
    with pytest.raises(StepError) as caught:
        _archive.extract(made, around / "images", limits)
    assert everything(around.parent) == before
    assert caught.value.cure
    return caught.value.message


@pytest.fixture
def place(tmp_path):
    """A folder, with room above it for what would leave it."""
    folder = tmp_path / "above" / "around"
    folder.mkdir(parents=True)
    return folder


@pytest.mark.parametrize("form", MAKERS)
def test_an_archive_is_known_by_its_content_and_unpacked_whole(place, form):
    made = MAKERS[form](GOOD.items(), place / "named.wrongly")
    _archive.extract(made, place / "images", LIMITS)
    assert content(place / "images") == GOOD
    assert sorted(path.name for path in place.iterdir()) == ["images", "images.json", made.name]


def test_dots_and_slashes_too_many_in_names_mean_nothing(place):
    names = [("./", b""), ("./ants/", b""), ("./ants//1.jpg", b"one"), ("ants/./2.jpg", b"two")]
    _archive.extract(zip_of(names, place / "a"), place / "images", LIMITS)
    assert content(place / "images") == {"ants/1.jpg": b"one", "ants/2.jpg": b"two"}


def test_names_that_are_long_or_not_ascii_are_fine(place):
    names = {f"é/{'x' * 200}/{'y' * 200}.jpg": b"one"}
    for form in ("tar.gz", "zip"):
        _archive.extract(MAKERS[form](names.items(), place / form), place / "images", LIMITS)
        assert content(place / "images") == names


@pytest.mark.parametrize("form", ["tar", "zip"])
def test_files_are_ordinary_whatever_the_archive_says(place, form):
    mode = stat.S_IFREG | 0o6777
    given = {
        "tar": {"name": "ants/1.jpg", "mode": mode, "uid": 4242, "gid": 4242},
        "zip": {"filename": "ants/1.jpg", "external_attr": mode << 16},
    }
    _archive.extract(MAKERS[form]([(given[form], b"one")], place / "a"), place / "images", LIMITS)
    found = (place / "images" / "ants" / "1.jpg").stat()
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE(found.st_mode) == 0o666 & ~umask
    assert found.st_uid == os.getuid()


NAMES = {
    "/tmp/evil.jpg": "is an absolute path",  # noqa: S108
    "//evil.jpg": "is an absolute path",
    "../evil.jpg": "leaves its folder",
    "../../evil.jpg": "leaves its folder",
    "ants/../../../evil.jpg": "leaves its folder",
    "ants/..": "leaves its folder",
    "..": "leaves its folder",
    "C:/evil.jpg": "names a drive",
    "c:evil.jpg": "names a drive",
    "..\\evil.jpg": "has a backslash in its name",
    "\\\\server\\evil.jpg": "has a backslash in its name",
    ".": "has no name",
    "x/" * 600 + "evil.jpg": "has a name of more than 1024 characters",
}


@pytest.mark.parametrize("form", ["tar.gz", "zip"])
@pytest.mark.parametrize("name", NAMES, ids=lambda name: name[:20])
def test_a_name_that_leaves_the_folder_is_refused(place, form, name):
    given = [*GOOD.items(), (name, b"evil")]
    assert f"{NAMES[name]}" in refused(MAKERS[form](given, place / "a"))


def test_a_zero_byte_in_a_name_is_refused(place):
    made = zip_of([("ants/evil.jpg.....exe", b"evil")], place / "a")
    made.write_bytes(made.read_bytes().replace(b".jpg.", b".jpg\0"))
    assert "has a zero byte in its name" in refused(made)


def typed(kind, **more):
    return [*GOOD.items(), ({"name": "ants/evil", "type": kind, **more}, b"")]


TYPES = {
    "a symbolic link out": typed(tarfile.SYMTYPE, linkname="/etc"),
    "a symbolic link inside": typed(tarfile.SYMTYPE, linkname="1.jpg"),
    "a hard link out": typed(tarfile.LNKTYPE, linkname="/etc/passwd"),
    "a hard link inside": typed(tarfile.LNKTYPE, linkname="ants/1.jpg"),
    "a character device": typed(tarfile.CHRTYPE, devmajor=1, devminor=3),
    "a block device": typed(tarfile.BLKTYPE, devmajor=8),
    "a pipe": typed(tarfile.FIFOTYPE),
    "an unknown type": typed(b"Z"),
}


@pytest.mark.parametrize("name", TYPES)
def test_a_tar_entry_that_is_no_file_or_folder_is_refused(place, name):
    what = "the entry 'ants/evil' is a link, a device or a pipe"
    assert what in refused(tar_of(TYPES[name], place / "a"))


def test_a_link_that_later_entries_would_follow_is_refused(place):
    given = [({"name": "ants", "type": tarfile.SYMTYPE, "linkname": ".."}, b""), ("ants/x", b"x")]
    assert "is a link" in refused(tar_of(given, place / "a"))


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFIFO, stat.S_IFSOCK])
def test_a_zip_entry_that_is_no_file_or_folder_is_refused(place, kind):
    given = {"filename": "evil", "create_system": 3, "external_attr": (kind | 0o777) << 16}
    assert "is a link or a device" in refused(zip_of([(given, b"/etc")], place / "a"))


def test_an_encrypted_entry_is_refused(place):
    made = zip_of([("ants/1.jpg", b"one")], place / "a")
    held = bytearray(made.read_bytes())
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        held[held.index(mark) + offset] |= 1
    made.write_bytes(held)
    assert "the entry 'ants/1.jpg' is encrypted" in refused(made)


@pytest.mark.parametrize("form", ["tar", "zip"])
@pytest.mark.parametrize(
    ("names", "what"),
    [
        (["a/1.jpg", "a/1.JPG"], "the entry 'a/1.JPG' is 'a/1.jpg' but for upper and lower case"),
        (["a/1.jpg", "A/2.jpg"], "the entry 'A' is 'a' but for upper and lower case"),
        (["é.jpg", "e\u0301.jpg"], "but for upper and lower case"),
        (["a/1.jpg", "./a//1.jpg"], "is there twice"),
        (["a", "a/1.jpg"], "the entry 'a' is there twice"),
        (["a/1.jpg", "a"], "the entry 'a' is there twice"),
    ],
)
def test_names_that_are_one_file_on_some_disk_are_refused(place, form, names, what):
    assert what in refused(MAKERS[form]([(name, b"x") for name in names], place / "a"))


# Too much


@pytest.mark.parametrize("form", MAKERS)
def test_more_entries_than_allowed_are_refused(place, form):
    given = [(f"{i}.jpg", b"x") for i in range(51)]
    made = MAKERS[form](given, place / "a")
    assert "'50.jpg' is one more than data.max_files=50" in refused(made)
    _archive.extract(MAKERS[form](given[:50], place / "a"), place / "images", LIMITS)


@pytest.fixture
def written(monkeypatch):
    """How many bytes are on the disk at most, while something is extracted."""
    most = [0]
    room = _archive.room

    def measured(folder, needed):
        most.append(sum(p.stat().st_size for p in folder.rglob("*") if p.is_file()))
        room(folder, needed)

    monkeypatch.setattr(_archive, "room", measured)
    monkeypatch.setattr(_archive, "CHUNK", 10_000)
    return lambda: max(most)


BOMB = bytes(20_000_000)


@pytest.mark.parametrize("form", MAKERS)
def test_a_bomb_is_refused_before_it_is_larger_than_allowed(place, written, form):
    made = MAKERS[form]([("a.jpg", b"x" * 90_000), ("b.jpg", BOMB)], place / "a")
    many = _archive.Limits(50, 200_000, 50_000_000)
    assert "'b.jpg' unpacks to more than data.max_bytes=200000" in refused(made, many)
    assert 90_000 <= written() <= 200_000


@pytest.mark.parametrize("form", MAKERS)
def test_a_file_larger_than_allowed_is_refused(place, written, form):
    made = MAKERS[form]([("a.jpg", bytes(100_001))], place / "a")
    assert "'a.jpg' unpacks to more than data.max_file_bytes=100000" in refused(made)
    assert written() <= 100_000
    made = MAKERS[form]([("a.jpg", bytes(100_000)), ("b.jpg", bytes(100_000))], place / "a")
    _archive.extract(made, place / "images", LIMITS)


def lying(made, size):
    """The same zip file, whose headers speak of another size."""
    held = made.read_bytes()
    made.write_bytes(held.replace(len(BOMB).to_bytes(4, "little"), size.to_bytes(4, "little")))
    return made


@pytest.mark.parametrize("size", [10, 0, 2**32 - 2])
def test_a_size_in_a_header_is_not_believed(place, written, size):
    made = lying(zip_of([("b.jpg", BOMB)], place / "a"), size)
    refused(made, _archive.Limits(50, 200_000, 2**40))
    assert written() <= 200_000
