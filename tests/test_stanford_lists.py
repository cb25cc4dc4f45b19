"""Lists of Stanford Dogs that are none, or that could do harm, are refused."""

import io
import struct
import tracemalloc
import zlib

import numpy as np
import pytest
from scipy.io import savemat
from small_stanford import cells, mat_of, names, numbers_of

from mlops_spec.errors import StepError
from trainers.datasets.stanford_dogs import read_list


def shapeless(**variables):
    held = io.BytesIO()
    savemat(held, variables)
    return held.getvalue()


def older():
    held = io.BytesIO()
    savemat(held, {"labels": np.ones((3, 1))}, format="4")
    return held.getvalue()


def compressed(content, count=1):
    """A .mat file whose elements unpack to some content."""
    packed = zlib.compress(content, 9)
    return mat_of(names()[0])[:128] + (struct.pack("<II", 15, len(packed)) + packed) * count


def vast():
    """A cell array of 2^60 cells, in few bytes."""
    flags = struct.pack("<IIII", 6, 8, 1, 0)
    sides = struct.pack("<IIii", 5, 8, 2**30, 2**30)
    body = flags + sides + struct.pack("<II", 1, 9) + b"file_list" + bytes(7)
    return compressed(struct.pack("<II", 14, len(body)) + body)


def deep(levels):
    """Cells within cells, each of which says that it is empty."""
    name = struct.pack("<II", 1, 9) + b"file_list" + bytes(7)
    cell = struct.pack("<IIII", 6, 8, 1, 0) + struct.pack("<IIii", 5, 8, 1, 1)
    inner = struct.pack("<II", 14, 0) + cell + struct.pack("<II", 1, 0)
    return compressed(struct.pack("<II", 14, 0) + cell + name + inner * levels)


GOOD = mat_of(names()[0])
NO_LISTS = {
    "an empty file": (b"", "truncated"),
    "text": (b"not found" * 100, "Unknown mat file type"),
    "the head alone": (GOOD[:128], "'file_list'"),
    "half of it": (GOOD[: len(GOOD) // 2], "could not read bytes"),
    "a version 4 file": (older(), "no MATLAB file of version 5"),
    "a version 7.3 file": (GOOD[:124] + b"\0\2IM" + GOOD[128:], "no MATLAB file of version 5"),
    "a large file": (GOOD + bytes(33 << 20), "too large"),
    "a bomb": (compressed(bytes(33 << 20)), "unpacks to too much"),
    "two halves of a bomb": (
        compressed(struct.pack("<II", 9, 17 << 20) + bytes(17 << 20), 2),
        "unpacks to too much",
    ),
    "a bomb inside": (compressed(compressed(bytes(1000))[128:]), "unpacks to too much"),
    "more cells than there is memory": (vast(), "too big"),
    "cells within cells": (deep(600_000), "it is nested"),
    "no names": (shapeless(labels=np.ones((3, 1))), "'file_list'"),
    "no numbers": (shapeless(file_list=cells(names()[0])), "'labels'"),
    "fewer numbers": (mat_of(names()[0], [[1], [2]]), "shorter"),
    "names in a row": (
        shapeless(file_list=cells(names()[0]).T, labels=np.ones((1, 24))),
        "too many values",
    ),
    "numbers for names": (
        shapeless(file_list=np.ones((3, 1)), labels=np.ones((3, 1))),
        "'1.0' is no name of an image",
    ),
    "numbers that are none": (mat_of(["n02085620-A/n02085620_1.jpg"], [[[1, 2]]]), ""),
}
NO_NAMES = [
    "../../etc/passwd",
    "/etc/passwd.jpg",
    "n02085620-A/../n02085620_1.jpg",
    "n02085620-A\\n02085620_1.jpg",
    "n02085620-A/n02085620_1.jpg\n",
    "n02085620-../n02085620_1.jpg",
]


def refusal(path, content):
    path.write_bytes(content)
    with pytest.raises(StepError) as caught:
        read_list(path)
    words = caught.value.message
    assert words.startswith("train_list.mat is not one of the official lists (")
    assert str(path.parent) not in words
    return words


@pytest.mark.parametrize("name", NO_LISTS)
def test_a_file_that_is_no_list_is_refused(tmp_path, name):
    content, what = NO_LISTS[name]
    assert what in refusal(tmp_path / "train_list.mat", content)


def test_a_bomb_inside_a_compressed_element_is_never_unpacked(tmp_path):
    content = compressed(compressed(bytes(120 << 20))[128:])
    tracemalloc.start()
    refusal(tmp_path / "train_list.mat", content)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 60 << 20


@pytest.mark.parametrize("name", NO_NAMES)
def test_a_name_that_could_lead_elsewhere_is_refused(tmp_path, name):
    said = refusal(tmp_path / "train_list.mat", mat_of([name], [[1]]))
    assert f"{name!r} is no name of an image" in said


def test_a_list_that_is_not_compressed_is_one_too(tmp_path):
    listed = names()[0]
    held = shapeless(file_list=cells(listed), labels=np.array(numbers_of(listed), float))
    (tmp_path / "train_list.mat").write_bytes(held)
    assert read_list(tmp_path / "train_list.mat") == list(
        zip(listed, [number for (number,) in numbers_of(listed)], strict=True)
    )
