import json
import shutil
import sqlite3
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from registries import DATABASE, FIRST, MODELS, SECOND, candidate, register
from registries import mlflow_client as client

from mlops_spec import bundle, files, registering, registry
from mlops_spec.errors import MlopsError
from mlops_spec.registering import LocalRegistry
from mlops_spec.registry import Version

# MLflow's own tables use a loader that SQLAlchemy 2.1 deprecates.
pytestmark = [
    pytest.mark.filterwarnings("ignore:The ``noload`` loader:DeprecationWarning"),
    pytest.mark.usefixtures("registered"),
]


def read(model="digits"):
    return registry.read(DATABASE, MODELS, model)


def by_mlflow():
    """The same versions as MLflow's own client tells them."""
    champion = client().get_model_version_by_alias("digits", "champion").version
    found = client().search_model_versions("name='digits'")
    return [
        Version(
            version=int(one.version),
            train=one.tags["mlops_spec.train"],
            baseline=int(one.tags["mlops_spec.baseline"]),
            path=str(MODELS / "digits" / one.tags["mlops_spec.digest"][:16]),
            champion=one.version == champion,
            digest=one.tags["mlops_spec.digest"],
            intact=(MODELS / "digits" / one.tags["mlops_spec.digest"][:16]).is_dir(),
            created=f"{datetime.fromtimestamp(one.creation_timestamp // 1000, UTC):%FT%TZ}",
            metrics={
                key.removeprefix("mlops_spec.metric."): float(value)
                for key, value in one.tags.items()
                if key.startswith("mlops_spec.metric.")
            },
            tags={k: v for k, v in one.tags.items() if not k.startswith("mlops_spec.")},
        )
        for one in sorted(found, key=lambda one: int(one.version))
    ]


def test_without_a_database_nothing_is_registered_and_none_is_made():
    assert registry.read(Path("nowhere/mlflow.db"), MODELS, "digits") == []
    assert not Path("nowhere").exists()


def test_a_database_that_mlflow_only_began_holds_nothing():
    sqlite3.connect("begun.db").close()
    Path("begun.db").touch()
    assert registry.read(Path("begun.db"), MODELS, "digits") == []


def test_a_first_model_is_version_one_and_champion():
    (version,) = read()
    assert (version.version, version.train, version.baseline) == (1, FIRST, 0)
    assert version.champion
    assert version.intact
    assert bundle.digest(Path(version.path)) == version.digest
    assert [version] == by_mlflow()


def test_a_model_is_known_by_what_it_is_and_not_by_who_trained_it(tmp_path):
    """The same step may give other weights, with other libraries or another processor."""
    other = candidate(tmp_path / "other", FIRST, 0, 3.0)
    made = register(other)
    assert made.version == 2
    assert bundle.digest(Path(made.path)) == bundle.digest(other.bundle)
    assert [v.champion for v in read()] == [False, True]


def test_a_deleted_version_is_gone():
    client().delete_registered_model_alias("digits", "champion")
    client().delete_model_version("digits", "1")
    assert read() == []


def test_a_bundle_that_is_gone_is_seen_and_made_again(first):
    shutil.rmtree(read()[0].path)
    assert not read()[0].intact
    register(first)
    assert read()[0].intact


def test_a_model_promoted_again_remembers_whom_it_beat_this_time(first, second):
    register(second)
    register(replace(first, baseline=2))
    assert [(v.version, v.baseline, v.champion) for v in read()] == [(1, 2, True), (2, 1, False)]


def test_a_champion_that_others_made_is_not_overlooked():
    client().create_model_version("digits", "elsewhere")
    client().set_registered_model_alias("digits", "champion", "2")
    with pytest.raises(MlopsError, match="version 2, was not registered from here"):
        read()


def test_registering_the_same_model_again_changes_nothing(first):
    before = by_mlflow()
    again = register(first)
    assert again == before[0]
    assert by_mlflow() == read() == before


def test_a_second_model_becomes_champion_and_remembers_whom_it_beat(second):
    made = register(second)
    assert (made.version, made.baseline, made.champion) == (2, 1, True)
    assert [(v.version, v.baseline, v.champion) for v in read()] == [(1, 0, False), (2, 1, True)]
    assert read() == by_mlflow()


def test_an_earlier_model_can_become_champion_again(first, second):
    register(second)
    assert register(first).version == 1
    assert [v.champion for v in read()] == [True, False]
    assert read() == by_mlflow()


def test_a_champion_that_someone_moved_with_mlflow_is_seen():
    mlflow = client()
    tags = {"mlops_spec.train": SECOND, "mlops_spec.baseline": "1", "mlops_spec.digest": SECOND}
    mlflow.create_model_version("digits", "file:///nowhere", tags=tags)
    mlflow.set_registered_model_alias("digits", "shadow", "2")  # another alias is no championship
    assert [v.champion for v in read()] == [True, False]
    mlflow.set_registered_model_alias("digits", "champion", "2")
    assert [v.champion for v in read()] == [False, True]
    mlflow.delete_registered_model_alias("digits", "champion")
    assert [v.champion for v in read()] == [False, False]


def test_versions_come_in_the_order_of_their_numbers():
    mlflow = client()
    for number in range(2, 12):
        name = f"{number:064}"
        tags = {
            "mlops_spec.train": name,
            "mlops_spec.digest": name,
            "mlops_spec.baseline": "1",
        }
        mlflow.create_model_version("digits", "file:///nowhere", tags=tags)
    assert [v.version for v in read()] == [*range(1, 12)]
    assert read() == by_mlflow()


def test_models_of_other_names_are_apart(second):
    register(replace(second, model="letters", baseline=0))
    assert [v.train for v in read("letters")] == [SECOND]
    assert [v.train for v in read("digits")] == [FIRST]
    assert read("numbers") == []


def test_versions_that_others_registered_by_hand_are_left_alone():
    client().create_model_version("digits", Path("elsewhere").resolve().as_uri())
    assert [v.train for v in read()] == [FIRST]


def test_the_registry_keeps_a_complete_bundle_of_its_own(first):
    shutil.rmtree(first.bundle)
    home = Path(read()[0].path)
    card = bundle.load(home).card
    assert card.metrics == {"accuracy": 0.75}
    assert (home / "report.html").read_text("utf-8") == f"<p>{FIRST}</p>"


def test_a_version_says_where_its_bundle_lies_and_which_model_it_is(first):
    version = client().get_model_version("digits", "1")
    assert version.tags["mlops_spec.digest"] == bundle.digest(first.bundle)
    assert version.source.startswith("file://")


def test_a_copy_that_was_interrupted_is_made_anew(second):
    partial = MODELS / "digits" / f".{bundle.digest(second.bundle)[:16]}.partial"
    files.write_text(partial / "model.onnx", "half of it")
    made = register(second)
    assert bundle.digest(Path(made.path)) == bundle.digest(second.bundle)
    assert not partial.exists()


def test_a_registration_that_was_interrupted_before_mlflow_is_completed(second):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registering, "_create", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            register(second)
    assert [v.version for v in read()] == [1]
    register(second)
    assert read() == by_mlflow()
    assert [v.version for v in read()] == [1, 2]


def test_tags_of_people_are_told_apart_from_ours():
    client().set_model_version_tag("digits", "1", "owner", "ann")
    assert read()[0].tags == {"owner": "ann"}
    assert read() == by_mlflow()


def test_the_history_is_in_mlflow_too(second):
    register(second)
    notes = client().get_registered_model("digits").tags
    assert [*notes] == ["mlops_spec.move.000001", "mlops_spec.move.000002"]
    moves = registry.look(DATABASE, MODELS, "digits").moves
    assert [json.loads(text)["why"] for text in notes.values()] == [m.why for m in moves]


def test_a_note_that_people_spoilt_stops_nothing(second):
    register(second)
    for key, value in (("mlops_spec.move.000001", "?"), ("mlops_spec.move.last", "7")):
        client().set_registered_model_tag("digits", key, value)
    shelf = registry.look(DATABASE, MODELS, "digits")
    assert [(m.before, m.after, m.kind) for m in shelf.moves] == [
        *((0, 1, "outside"), (1, 2, "promote")),
    ]
    assert shelf.notes == 2


def test_numbers_that_people_spoilt_stop_nothing():
    for key in ("mlops_spec.metric.accuracy", "mlops_spec.baseline"):
        client().set_model_version_tag("digits", "1", key, "much")
    (version,) = read()
    assert (version.metrics, version.baseline) == ({}, 0)


def test_a_model_whose_versions_were_deleted_has_no_name():
    client().delete_registered_model_alias("digits", "champion")
    client().delete_model_version("digits", "1")
    assert LocalRegistry(DATABASE, MODELS).names() == []


def test_a_registered_bundle_that_was_changed_is_mended_by_registering_again(first):
    path = Path(read()[0].path)
    (path / "model.json").write_text("{")
    assert registry.damage(read()[0]) == "its model.json was changed"
    assert register(first) == read()[0]
    assert registry.damage(read()[0]) == ""


def test_a_champion_of_other_origin_can_be_gone_back_from():
    client().create_model_version("digits", "elsewhere")
    client().set_registered_model_alias("digits", "champion", "2")
    place = LocalRegistry(DATABASE, MODELS)
    assert registry.damage(place.versions("digits")[1]) == "it was not registered from here"
    assert place.rollback("digits").after == 1
    assert read()[0].champion


def test_nobody_goes_back_to_a_champion_of_other_origin(second):
    client().create_model_version("digits", "elsewhere")
    client().set_registered_model_alias("digits", "champion", "2")
    register(second)
    with pytest.raises(MlopsError, match="2 was champion before, but it was not registered from"):
        LocalRegistry(DATABASE, MODELS).rollback("digits")
