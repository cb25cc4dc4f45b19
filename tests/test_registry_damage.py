"""A registry that is locked, damaged or of another version: the right result or one clear error."""

import sqlite3
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest
from filelock import FileLock
from registries import DATABASE, MODELS, register

from mlops_spec import copies, files, registry
from mlops_spec.errors import MlopsError

# MLflow's own tables use a loader that SQLAlchemy 2.1 deprecates.
pytestmark = [
    pytest.mark.filterwarnings("ignore:The ``noload`` loader:DeprecationWarning"),
    pytest.mark.usefixtures("registered"),
]


def read():
    return registry.read(DATABASE, MODELS, "digits")


@pytest.mark.parametrize("content", ["no database" * 100, None])
def test_a_database_that_can_not_be_written_is_said_at_once(content, second):
    place = Path("broken/mlflow.db")
    if content:
        files.write_text(place, content)
    else:
        place.mkdir(parents=True)
    with pytest.raises(MlopsError, match=r"broken/mlflow.db can not be") as caught:
        register(second, place)
    assert "restore it from a copy" in str(caught.value)


def test_a_locked_database_is_said_with_the_cure(second, monkeypatch):
    monkeypatch.setattr(sqlite3, "connect", partial(sqlite3.connect, timeout=0.1))
    with closing(sqlite3.connect(DATABASE)) as other:
        other.execute("BEGIN EXCLUSIVE")
        for act in (read, lambda: register(second)):
            with pytest.raises(MlopsError, match="another program holds it locked") as caught:
                act()
            assert "wait for it to end" in str(caught.value)
    assert read()


def test_who_writes_for_long_is_said(second, monkeypatch):
    monkeypatch.setattr(copies, "PATIENCE_SECONDS", 0.1)
    with FileLock(f"{DATABASE.resolve()}.lock"), pytest.raises(MlopsError, match="has held"):
        register(second)


def change_schema(words):
    with closing(sqlite3.connect(DATABASE)) as database, database:
        database.execute(words)


@pytest.mark.parametrize(
    ("revision", "cure"),
    [("ffff00001111", "upgrade mlflow-skinny"), ("451aebb31d03", "mlflow db upgrade sqlite:///")],
)
def test_a_database_of_another_mlflow_is_read_and_not_written(second, revision, cure):
    before = read()
    change_schema(f"UPDATE alembic_version SET version_num = '{revision}'")  # noqa: S608 - ours
    assert read() == before
    with pytest.raises(MlopsError, match="was made by another version of MLflow") as caught:
        register(second)
    assert cure in str(caught.value)
    assert read() == before


def test_tables_of_another_mlflow_are_said(second):
    change_schema("ALTER TABLE model_version_tags RENAME COLUMN value TO content")
    for act in (read, lambda: register(second)):
        with pytest.raises(MlopsError, match="or one of another version: no such column"):
            act()


def test_a_database_of_something_else_is_said():
    with closing(sqlite3.connect("other.db")) as other, other:
        other.execute("CREATE TABLE songs (name TEXT)")
    with pytest.raises(MlopsError, match="is no registry of MLflow's") as caught:
        registry.read(Path("other.db"), MODELS, "digits")
    assert "choose another workspace.database" in str(caught.value)


def test_a_database_that_lost_its_end_is_said():
    content = DATABASE.read_bytes()
    DATABASE.write_bytes(content[: len(content) // 2])
    with pytest.raises(MlopsError, match=r"can not be read: .*malformed"):
        read()
