"""A CSV file as a data set: what it says counts, and what it says wrong is named with its line."""

from collections import Counter
from types import SimpleNamespace

import pytest
from test_checks import put, scene
from test_folder_dataset import CHECKS

from mlops_spec import files, manifest
from mlops_spec.errors import StepError
from trainers.datasets import table


def spec(file, root=None, **changes):
    columns = {"path": "file", "label": "species", "split": None, "group": None}
    given = changes.pop("columns", {})
    made = {
        "kind": "table",
        "file": str(file),
        "root": root,
        "columns": {**columns, **given},
        "val_fraction": 0.2,
        "test_fraction": 0.2,
        "split_seed": 0,
        "group": None,
        "extensions": (".png",),
        "checks": CHECKS,
    }
    return table.Spec.model_validate({**made, **changes})


@pytest.fixture
def file(tmp_path):
    """Forty pictures of two species, in no order of folders."""
    lines = ["file,species,part,who"]
    for number in range(40):
        put(tmp_path / "photos" / f"{number}.png", scene(number))
        part = ("train", "train", "train", "test")[number // 2 % 4]
        lines.append(f"photos/{number}.png,{'ab'[number % 2]},{part},s{number // 4}")
    files.write_text(tmp_path / "table.csv", "\n".join(lines) + "\n")
    return tmp_path / "table.csv"


def test_labels_come_from_the_table_and_splits_are_drawn(file, tmp_path):
    dataset = table.prepare(spec(file), tmp_path / "out")
    assert {row.path: row.label for row in dataset.rows} == {
        f"photos/{number}.png": "ab"[number % 2] for number in range(40)
    }
    counts = Counter((row.label, row.split) for row in dataset.rows)
    shares = {"train": 12, "val": 4, "test": 4}
    assert counts == {(label, split): n for label in "ab" for split, n in shares.items()}


def test_a_split_of_the_table_stays_and_only_the_others_are_drawn(file, tmp_path):
    dataset = table.prepare(spec(file, columns={"split": "part"}), tmp_path / "out")
    tests = {f"photos/{n}.png" for n in range(40) if n // 2 % 4 == 3}
    assert {row.path for row in dataset.split("test")} == tests
    assert len(dataset.split("val")) == 6  # a fifth of the thirty others


def test_a_subject_of_the_table_is_in_one_split(file, tmp_path):
    dataset = table.prepare(spec(file, columns={"group": "who"}), tmp_path / "out")
    places = {}
    for row in dataset.rows:
        number = int(row.path.split("/")[1].removesuffix(".png"))
        places.setdefault(number // 4, set()).add(row.split)
    assert all(len(found) == 1 for found in places.values())


def test_an_image_that_is_not_there_is_left_out_and_named(file, tmp_path, capsys):
    (file.parent / "photos" / "7.png").unlink()
    assert len(table.prepare(spec(file), tmp_path / "out").rows) == 39
    assert "left out photos/7.png: is not there" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("photos/0.png,,train,s1", r"table\.csv:42: a row needs a path and a label"),
        (",a,train,s1", r"table\.csv:42: a row needs a path and a label"),
        ("photos/0.png", r"table\.csv:42: a row needs a path and a label"),
        ("photos/x.png,a,exam,s1", r"table\.csv:42: unknown split 'exam'"),
        ("/x.png,a,train,s1", r"table\.csv:42: /x\.png lies outside"),
        ("photos/../photos/0.png,a,train,s1", r"table\.csv:42: .* lies outside"),
        ("../x.png,a,train,s1", r"table\.csv:42: \.\./x\.png lies outside"),
        ("photos/0.png,b,train,s1", r"table\.csv:42: the image of line 2 again"),
    ],
)
def test_a_row_that_can_not_be_used_is_named_with_its_line(file, tmp_path, line, what):
    file.write_text(file.read_text("utf-8") + line + "\n", "utf-8")
    with pytest.raises(StepError, match=what):
        table.prepare(spec(file, columns={"split": "part"}), tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("changes", "key", "what"),
    [
        (
            {"columns": {"label": "kind"}},
            "data.columns.label",
            "no column 'kind' in the table (file, species,",
        ),
        ({"file": "nowhere.csv"}, "data.file", "no file nowhere.csv"),
        ({"root": "nowhere"}, "data.root", "no folder nowhere"),
        ({"val_fraction": 0.9}, "data.test_fraction", "nothing to train on"),
    ],
)
def test_what_can_not_work_is_said_before_any_work(file, changes, key, what):
    wish = spec(changes.pop("file", file), **changes)
    found = dict(table.contradictions(SimpleNamespace(data=wish)))
    assert what in found[key]


def test_the_fingerprint_follows_the_table_and_the_pictures(file):
    before = table.fingerprint(spec(file))
    assert table.fingerprint(spec(file)) == before
    put(file.parent / "photos" / "3.png", scene(999))
    between = table.fingerprint(spec(file))
    file.write_text(file.read_text("utf-8").replace("photos/3.png,b", "photos/3.png,a"), "utf-8")
    after = table.fingerprint(spec(file))
    assert len({files.sha256_of(found) for found in (before, between, after)}) == 3


def test_a_table_of_a_spreadsheet_with_its_mark_and_a_root_elsewhere(file, tmp_path):
    other = tmp_path / "elsewhere" / "t.csv"
    files.write_text(other, "\ufeff" + file.read_text("utf-8"))
    dataset = table.prepare(spec(other, root=str(file.parent)), tmp_path / "out")
    assert manifest.read(tmp_path / "out").rows == dataset.rows
    assert len(dataset.rows) == 40
