"""Files are replaced whole or not at all, and JSON documents name their version."""

from __future__ import annotations

import errno
import hashlib
import json
import os
from pathlib import Path

import pytest

from mlops_spec import files
from mlops_spec.errors import ExitCode, StateError
from mlops_spec.files import NewerStateError


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("content", [b"", b"\x00\xff", b"text\n" * 100_000])
def test_what_is_written_is_read_back(tmp_path, content):
    path = tmp_path / "new" / "folders" / "file.bin"
    files.write_bytes(path, content)
    assert path.read_bytes() == content
    assert names(path.parent) == ["file.bin"]


def failing(error):
    def fail(*_arguments, **_more):
        raise error

    return fail


FAULTS = [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt(), MemoryError()]


@pytest.mark.parametrize("fault", FAULTS, ids=["disk full", "Ctrl-C", "out of memory"])
@pytest.mark.parametrize("moment", ["os.fsync", "pathlib.Path.chmod", "pathlib.Path.replace"])
def test_a_failure_while_writing_leaves_the_old_content_and_nothing_else(
    tmp_path, monkeypatch, moment, fault
):
    path = tmp_path / "state.json"
    path.write_text("old")
    with monkeypatch.context() as patch:
        patch.setattr(moment, failing(fault))
        with pytest.raises(type(fault)):
            files.write_text(path, "new")
    assert path.read_text() == "old"
    assert names(tmp_path) == ["state.json"]
    files.write_text(path, "new")
    assert path.read_text() == "new"


def test_a_failure_while_writing_a_new_file_leaves_no_file(tmp_path, monkeypatch):
    monkeypatch.setattr("os.fsync", failing(OSError(errno.ENOSPC, "No space left on device")))
    with pytest.raises(OSError, match="No space"):
        files.write_json(tmp_path / "state.json", {"a": 1})
    assert names(tmp_path) == []


def test_content_reaches_the_disk_before_the_name_does(tmp_path, monkeypatch):
    happened = []
    fsync, replace = os.fsync, Path.replace
    monkeypatch.setattr("os.fsync", lambda handle: (happened.append("fsync"), fsync(handle)))
    monkeypatch.setattr(
        "pathlib.Path.replace", lambda a, b: (happened.append("rename"), replace(a, b))
    )
    files.write_text(tmp_path / "a", "b")
    assert happened[:2] == ["fsync", "rename"]


def test_who_is_reading_keeps_the_old_content_to_its_end(tmp_path):
    path = tmp_path / "state.json"
    files.write_text(path, "old " * 1000)
    with path.open() as reader:
        assert reader.read(4) == "old "
        files.write_text(path, "new " * 1000)
        assert reader.read() == "old " * 999
    assert path.read_text() == "new " * 1000


def test_files_are_readable_by_others_as_ordinary_ones_are(tmp_path):
    files.write_text(tmp_path / "a", "b")
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o644


def test_text_is_utf_8_whatever_the_machine_speaks(tmp_path):
    files.write_text(tmp_path / "a", "Ärger ✓")
    assert (tmp_path / "a").read_bytes() == "Ärger ✓".encode()


def test_a_document_comes_back_with_its_version(tmp_path):
    path = tmp_path / "a.json"
    files.write_json(path, {"b": [1, {"ü": None}]})
    assert files.read_json(path) == {"schema_version": files.SCHEMA_VERSION, "b": [1, {"ü": None}]}
    assert json.loads(path.read_text("utf-8"))["schema_version"] == files.SCHEMA_VERSION


def test_a_missing_document_is_said_to_be_missing_not_damaged(tmp_path):
    with pytest.raises(FileNotFoundError):
        files.read_json(tmp_path / "a.json")


DAMAGED = {
    "empty": b"",
    "cut off": b'{"schema_version": 1, "a": [1, 2',
    "zeros": b"\0" * 64,
    "not UTF-8": b'{"schema_version": 1, "a": "\xff\xfe"}',
    "a list": b"[1, 2]",
    "a word": b'"schema_version"',
    "no version": b'{"a": 1}',
    "a version that is no number": b'{"schema_version": "new"}',
    "a version that is nothing": b'{"schema_version": null}',
    "two documents": b'{"schema_version": 1} {"schema_version": 1}',
}


@pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED.keys())
def test_a_damaged_document_is_named_with_a_cure_and_left_as_it_is(tmp_path, content):
    path = tmp_path / "a.json"
    path.write_bytes(content)
    with pytest.raises(StateError, match="damaged") as caught:
        files.read_json(path)
    assert not isinstance(caught.value, NewerStateError)
    assert str(path) in caught.value.message
    assert "delete it" in caught.value.cure
    assert caught.value.exit_code is ExitCode.UNEXPECTED
    assert path.read_bytes() == content


def test_a_document_of_a_newer_version_is_to_be_left_alone(tmp_path):
    path = tmp_path / "a.json"
    newer = files.SCHEMA_VERSION + 1
    path.write_text(json.dumps({"schema_version": newer, "a": 1}))
    with pytest.raises(NewerStateError, match=f"schema version {newer}") as caught:
        files.read_json(path)
    assert str(path) in caught.value.message
    assert "upgrade" in caught.value.cure
    assert "delete" not in str(caught.value)


def test_equal_values_have_equal_bytes_and_digests():
    one, other = {"b": [1, 2], "a": {"y": 1, "x": "ü"}}, {"a": {"x": "ü", "y": 1}, "b": [1, 2]}
    assert (
        files.canonical(one) == files.canonical(other) == '{"a":{"x":"ü","y":1},"b":[1,2]}'.encode()
    )
    assert files.sha256_of(one) == hashlib.sha256(files.canonical(other)).hexdigest()


@pytest.mark.parametrize("other", [{"a": 2}, {"b": 1}, {"a": "1"}, {"a": [1]}, {"a": 1, "b": None}])
def test_unequal_values_have_unequal_digests(other):
    assert files.sha256_of({"a": 1}) != files.sha256_of(other)


def test_the_digest_of_a_file_is_that_of_its_content(tmp_path):
    content = os.urandom(300_000)
    (tmp_path / "a").write_bytes(content)
    assert files.sha256_file(tmp_path / "a") == hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize("number", [errno.EPERM, errno.ENOTSUP])
def test_a_mounted_store_that_knows_no_modes_takes_what_is_no_secret(tmp_path, monkeypatch, number):
    def refuses(*_, **__):
        raise OSError(number, "a store of objects")

    monkeypatch.setattr(os, "fsync", refuses)
    monkeypatch.setattr(Path, "chmod", refuses)
    files.write_text(tmp_path / "public.json", "1")
    assert (tmp_path / "public.json").read_text("utf-8") == "1"
    with pytest.raises(OSError, match="a store of objects"):
        files.write_text(tmp_path / "secret.json", "1", mode=0o600)
    assert [path.name for path in tmp_path.iterdir()] == ["public.json"]
