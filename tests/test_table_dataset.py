"""A table as a data set: what it says counts, and what it says wrong is named with its line."""

import sys
from collections import Counter
from types import SimpleNamespace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import csv
from test_checks import put, scene
from test_folder_dataset import CHECKS, findings

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
        "slices": (),
        "multi_label": False,
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


def problems(wish):
    return dict(table.contradictions(SimpleNamespace(data=wish)))


@pytest.mark.parametrize(
    ("changes", "key", "what"),
    [
        (
            {"slices": ["who", "camera"]},
            "data.slices",
            "no column 'camera' in the table (file, species,",
        ),
        (
            {"columns": {"label": "kind"}},
            "data.columns.label",
            "no column 'kind' in the table (file, species,",
        ),
        ({"file": "nowhere.csv"}, "data.file", "no file nowhere.csv"),
        ({"root": "nowhere"}, "data.root", "no folder nowhere"),
        ({"val_fraction": 0.9}, "data.test_fraction", "nothing to train on"),
        ({"group": "p", "columns": {"group": "who"}}, "data.group", "the table has groups already"),
    ],
)
def test_what_can_not_work_is_said_before_any_work(file, changes, key, what):
    wish = spec(changes.pop("file", file), **changes)
    found = problems(wish)
    assert found.keys() == {key}
    assert what in found[key]


def test_a_table_that_has_what_is_named_is_no_problem(file):
    assert problems(spec(file, columns={"split": "part", "group": "who"})) == {}
    assert problems(spec(file, group="p")) == {}


@pytest.mark.parametrize(
    ("content", "key", "what"),
    [
        (b"", "data.columns.path", "no column 'file' in the table ()"),
        (b"file,species,file\n", "data.columns.path", "several columns 'file'"),
        (b"file,esp\xe8ce,species\n", "data.file", "is not UTF-8"),
        (
            b"file,species," + b"x" * 200_000 + b"\n",
            "data.file",
            ":1 can not be read as CSV: field la",
        ),
    ],
)
def test_a_table_that_can_not_be_used_is_said_before_any_work(file, content, key, what):
    file.write_bytes(content)
    assert what in problems(spec(file))[key]


@pytest.mark.parametrize(
    ("line", "what", "cure"),
    [
        ("caf\xe9.png,a".encode("cp1252"), r"table\.csv:942 is not UTF-8", "save it as UTF-8"),
        (b"x" * 200_000 + b",a", r"table\.csv:942 can not be read as CSV: field", "mend the line"),
    ],
)
def test_damage_further_down_is_said_with_the_cure(file, tmp_path, line, what, cure):
    rows = b"".join(b"photos/%d.png,a\n" % number for number in range(100, 1000))
    file.write_bytes(file.read_bytes() + rows + line + b"\n")
    assert problems(spec(file)) == {}
    for use in (table.fingerprint, lambda wish: table.prepare(wish, tmp_path / "out")):
        with pytest.raises(StepError, match=what) as error:
            use(spec(file))
        assert cure in error.value.cure


@pytest.mark.parametrize("name", ["x" * 300 + ".png", "photos/\0.png", "x/" * 5000 + "a.png"])
def test_a_path_that_no_disk_can_hold_is_a_finding(file, tmp_path, name):
    file.write_text(f"{file.read_text('utf-8')}{name},a,train,s1\n", "utf-8")
    assert table.fingerprint(spec(file))[name] == ""
    assert len(table.prepare(spec(file), tmp_path / "out").rows) == 40
    assert findings(tmp_path / "out") == {name: "is not there"}


def test_the_root_is_looked_up_once(file, monkeypatch):
    """And not for each of a million rows."""
    asked, root = [], table._root
    monkeypatch.setattr(table, "_root", lambda wish: asked.append(wish) or root(wish))
    assert len(list(table._listed(spec(file)))) == 40
    assert len(asked) == 1


# Parquet


def parquet(file, **columns):
    """The same table as a Parquet file, in row groups of some rows."""
    content = csv.read_csv(file)
    for name, values in columns.items():
        content = content.set_column(
            content.column_names.index(name), name, [values(content[name])]
        )
    path = file.with_suffix(".PARQUET")
    pq.write_table(content, path, row_group_size=7)
    return path


def test_a_parquet_file_gives_the_same_data_set(file, tmp_path):
    columns = {"group": "who"}
    one = table.prepare(spec(file, columns=columns), tmp_path / "one")
    encoded = parquet(file, species=lambda column: column.dictionary_encode())
    other = table.prepare(spec(encoded, columns=columns), tmp_path / "other")
    assert other.rows == one.rows
    assert problems(spec(encoded, columns=columns)) == {}
    assert table.fingerprint(spec(encoded)).keys() == table.fingerprint(spec(file)).keys()


def test_whole_numbers_are_classes_and_nothing_is_an_empty_cell(file, tmp_path):
    def missing(column):
        return pa.array([None, *range(1, len(column))])

    with pytest.raises(StepError, match=r"table\.PARQUET:1: a row needs a path and a label"):
        table.prepare(spec(parquet(file, species=missing)), tmp_path / "out")
    numbered = parquet(file, species=lambda column: pa.array([3, 40] * (len(column) // 2)))
    assert table.prepare(spec(numbered), tmp_path / "out").classes == ("3", "40")


def test_a_parquet_file_that_can_not_be_used_is_said_with_the_cure(file, tmp_path):
    nested = parquet(file, species=lambda column: pa.array([[1]] * len(column)))
    with pytest.raises(StepError, match=r"the column 'species' is of the type list<"):
        table.prepare(spec(nested), tmp_path / "out")
    assert problems(spec(nested, columns={"label": "x"})).keys() == {"data.columns.label"}
    nested.write_bytes(file.read_bytes())
    assert "is no Parquet file, or damaged" in problems(spec(nested))["data.file"]
    whole = parquet(file).read_bytes()
    nested.write_bytes(whole[:4] + bytes(100) + whole[104:])
    with pytest.raises(StepError, match="is no Parquet file, or damaged"):
        table.prepare(spec(nested), tmp_path / "out")


def test_parquet_without_pyarrow_is_said_with_the_cure(file, monkeypatch):
    path = parquet(file)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert problems(spec(file)) == {}
    assert "; pip install mlops_spec[parquet], or save" in problems(spec(path))["data.file"]


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
    files.write_text(other, "\ufeff" + file.read_text("utf-8") + "\n\n")  # and empty lines
    dataset = table.prepare(spec(other, root=str(file.parent)), tmp_path / "out")
    assert manifest.read(tmp_path / "out").rows == dataset.rows
    assert len(dataset.rows) == 40
