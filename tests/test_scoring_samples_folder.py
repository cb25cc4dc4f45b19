"""The folder of samples by itself: shared, damaged, full, and emptied by somebody."""

import base64
import errno
import json
import os
import random
import resource
import threading
from types import SimpleNamespace

import numpy as np
import pytest

from deployers.scoring import samples, sampling
from deployers.scoring.samples import Folder, FullError
from deployers.scoring.settings import Sampling
from mlops_spec.errors import MlopsError


def how(path, **changes):
    values = {"share": 1.0, "max_bytes": 10**6, "max_files": 100, "min_free": 1}
    return Sampling(**{**values, "folder": str(path), "max_waiting": 10**6, **changes})


def answers(path):
    return [path for path in (path / "answers").iterdir() if path.suffix == ".jsonl"]


def written(path):
    """Every line of the one day, all of them whole."""
    (day,) = answers(path)
    return [json.loads(line) for line in day.read_text("utf-8").splitlines()]


def test_several_share_a_folder_and_its_bounds(tmp_path):
    """Each thread opens files of its own, as processes do: locks are between those."""

    def work(name):
        folder = Folder(how(tmp_path, max_files=61))
        for number in range(25):
            try:
                folder.keep([f"{name} {number}".encode()], [{"who": name, "number": number}])
            except FullError:
                full.append(name)

    full: list[int] = []
    threads = [threading.Thread(target=work, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(full) == 40
    kept = written(tmp_path)
    assert len({(line["who"], line["number"]) for line in kept}) == 60
    assert {path.name for path in (tmp_path / "images").iterdir()} == {x["image"] for x in kept}
    assert (tmp_path / "usage").read_text() == f"{size_of(tmp_path)} 61\n"


def size_of(path):
    """Bytes, and a block for each file."""
    files = [*(path / "images").iterdir(), *answers(path)]
    return sum(file.stat().st_size + 4096 for file in files)


@pytest.mark.parametrize("usage", ["", "seven", "1 2 3", "-"])
def test_a_damaged_count_is_made_anew(tmp_path, usage):
    folder = Folder(how(tmp_path, max_files=3))
    folder.keep([b"one"], [{}])
    (tmp_path / "usage").write_text(usage)
    folder.keep([b"two"], [{}])
    with pytest.raises(FullError):
        folder.keep([b"three"], [{}])


def test_room_that_somebody_made_is_used(tmp_path, monkeypatch):
    folder = Folder(how(tmp_path, max_files=2))
    folder.keep([b"one"], [{}])
    for _ in range(2):
        with pytest.raises(FullError, match="2 files, as it may"):
            folder.keep([b"two"], [{}])
    for path in (tmp_path / "images").iterdir():
        path.unlink()
    with pytest.raises(FullError):  # nobody counts a large folder for each request
        folder.keep([b"two"], [{}])
    monkeypatch.setattr(samples, "_COUNTED_SECONDS", 0.0)
    folder.keep([b"two"], [{}])


def test_a_line_that_a_power_cut_tore_is_taken_away(tmp_path):
    folder = Folder(how(tmp_path))
    folder.keep([b"one"], [{"number": 1}])
    (day,) = answers(tmp_path)
    with day.open("a") as file:
        file.write('{"number": 2, "ima')
    folder.keep([b"three"], [{"number": 3}])
    assert [line["number"] for line in written(tmp_path)] == [1, 3]


def test_a_disk_that_takes_a_part_of_a_line_keeps_none_of_it(tmp_path):
    folder = Folder(how(tmp_path))
    folder.keep([b"one"], [{"number": 1}])
    (day,) = answers(tmp_path)
    before, most = day.read_bytes(), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 10, most[1]))
    try:
        with pytest.raises(OSError, match="No space left"):
            folder.keep([b"one"], [{"number": 2}])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, most)
    assert day.read_bytes() == before


def test_a_disk_that_takes_a_part_of_an_image_keeps_none_of_it(tmp_path):
    folder = Folder(how(tmp_path))
    most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, most[1]))
    try:
        with pytest.raises(OSError, match="too large"):
            folder.keep([bytes(5000)], [{}])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, most)
    assert not [*(tmp_path / "images").iterdir()]
    assert not answers(tmp_path)


def test_an_image_that_comes_again_is_not_old(tmp_path):
    """So that whoever deletes old files does not take one that a new line names."""
    folder = Folder(how(tmp_path))
    folder.keep([b"one"], [{}])
    (image,) = (tmp_path / "images").iterdir()
    os.utime(image, (0, 0))
    folder.keep([b"one"], [{}])
    assert image.stat().st_mtime > 10**9


@pytest.mark.parametrize(
    ("number", "starts"), [(errno.ENOSPC, True), (errno.EIO, True), (errno.EROFS, False)]
)
def test_a_mistake_ends_the_start_and_a_sick_disk_does_not(tmp_path, monkeypatch, number, starts):
    def make(_self):
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patched:
        patched.setattr(Folder, "_make", make)
        if not starts:
            with pytest.raises(MlopsError, match="Read-only file system"):
                Folder(how(tmp_path))
            return
        folder = Folder(how(tmp_path))
    folder.keep([b"one"], [{"number": 1}])
    assert written(tmp_path)[0]["number"] == 1


def test_as_many_are_drawn_as_the_share_says(tmp_path):
    random.seed(3)
    golden = SimpleNamespace(image=base64.b64encode(b"golden").decode())
    model = SimpleNamespace(
        named=lambda: {"name": "m", "version": "1", "digest": "d"},
        card=SimpleNamespace(labels=("a", "b"), golden=(golden,)),
    )
    ended: list[str] = []
    sampler = sampling.Sampler(how(tmp_path, share=0.25), model, ended.append)
    for number in range(200):
        for image in (b"image", b"golden"):
            sampler.offer(str(number), [image], np.array([[0.25, 0.75]]))
    sampler.close()
    assert {*ended} == {"kept", "golden"}
    assert 30 < ended.count("kept") < 70
    assert len(written(tmp_path)) == ended.count("kept")
    assert written(tmp_path)[0]["probabilities"] == {"a": 0.25, "b": 0.75}
