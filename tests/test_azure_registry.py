"""A workspace as a registry, where it differs from others: several machines, tags, archives."""

import json
from dataclasses import replace
from pathlib import Path

import emulation
import pytest
from registries import FIRST, SECOND, candidate, champion

from mlops_spec import lineage, registry
from mlops_spec.azure import assets
from mlops_spec.azure import registry as registering
from mlops_spec.azure.place import Place
from mlops_spec.azure.registry import AzuremlRegistry
from mlops_spec.errors import StateError

pytestmark = pytest.mark.slow
HERE, THERE = Path("state/models"), Path("elsewhere/models")


@pytest.fixture
def place(shelf, tmp_path, monkeypatch):
    """A workspace with two versions, of which the second is champion."""
    monkeypatch.chdir(tmp_path)
    found = shelf.open()
    for number, key in ((1, FIRST), (2, SECOND)):
        made = found.register(model(number, key, number - 1))
        found.promote("digits", made.version, "better", number - 1)
    return found


@pytest.fixture
def other(place):
    """The same workspace from another machine, which has no bundle yet."""
    return AzuremlRegistry(place.place, THERE)


def model(number, train, baseline=0, **more):
    return candidate(Path(f"model{number}"), train, baseline, float(number), **more)


def contents(folder):
    return {path.name: path.read_bytes() for path in sorted(Path(folder).iterdir())}


def asset(shelf, number):
    return shelf.ml.models.get("digits", str(number))


def requests(shelf):
    """The addresses of all requests about models so far."""
    lines = emulation.exchanges(Path(shelf.state))
    return [line["url"] for line in lines if "/models" in line["url"]]


def test_a_version_is_a_custom_model_that_tells_what_it_is(shelf, place):
    first, found = place.versions("digits")[0], asset(shelf, 1)
    assert (found.type, found.tags["mlops_spec.train"]) == ("custom_model", FIRST)
    assert found.tags["mlops_spec.digest"] == found.properties["mlops_spec.digest"] == first.digest
    card = json.loads(Path(first.path, "model.json").read_text("utf-8"))
    assert found.properties["mlops_spec.data"] == card["data_digest"]
    assert {len(found.properties[f"mlops_spec.{name}"]) for name in ("spec", "code")} == {64}


def test_reading_costs_the_same_however_many_versions_there_are(shelf, place):
    def asked(act):
        before = len(requests(shelf))
        act("digits")
        return len(requests(shelf)) - before

    two = [asked(place.versions), asked(place.history)]
    place.register(model(3, "3c" * 32, 2))
    place.promote("digits", 3, "better", 2)
    assert [asked(place.versions), asked(place.history)] == two == [2, 2]


def test_another_machine_fetches_what_was_registered_and_nothing_twice(shelf, place, other):
    first, _ = other.versions("digits")
    assert first.path == str(THERE / Path(first.path).relative_to(THERE))
    assert (first.intact, Path(first.path).exists()) == (True, False)
    other.fetch("digits", first)
    assert contents(first.path) == contents(place.versions("digits")[0].path)
    assert registry.damage(first) == ""
    before = len(requests(shelf))
    other.fetch("digits", first)
    assert len(requests(shelf)) == before


def test_another_machine_goes_back_to_what_it_has_not_here(other):
    assert other.rollback("digits").after == 1
    first = other.versions("digits")[0]
    assert (first.champion, registry.damage(first)) == (True, "")


def test_another_machine_registers_the_same_model_and_uploads_nothing(shelf, other):
    known = other.versions("digits")[0]
    before = asset(shelf, 1).tags
    assert other.register(model(1, FIRST)).version == 1
    assert asset(shelf, 1).tags == before
    assert other.versions("digits")[0] == known
    assert [*shelf.ml.models.list(name="digits--renewed")] == []


def test_a_newer_judgement_is_kept_too(shelf, place, other):
    again = replace(model(1, "5e" * 32), metrics={"accuracy": 0.5})
    made = place.register(again)
    found = other.versions("digits")[0]
    assert (made.version, found.train, found.metrics) == (1, "5e" * 32, {"accuracy": 0.5})
    other.fetch("digits", found)
    assert contents(found.path) == contents(made.path)
    assert lineage.read(Path(found.path, lineage.FILE)).train == "5e" * 32
    assert asset(shelf, 1).properties["mlops_spec.train"] == FIRST  # how it began stays
    assert place.register(again) == made
    assert len([*shelf.ml.models.list(name="digits--renewed")]) == 1
    assert place.names() == ["digits"]


@pytest.mark.parametrize(
    ("name", "content", "what"),
    [
        ("model.onnx", b"x", "what is kept of it is damaged: model.onnx was changed"),
        ("more.txt", b"x", "what is kept of it is damaged: more.txt was added"),
        ("sub/more.txt", b"x", "has a file called 'sub/more.txt'"),
        ("..\\..\\more.txt", b"x", r"has a file called "),
    ],
)
def test_what_is_not_what_was_registered_stays_away(shelf, other, name, content, what):
    first = other.versions("digits")[0]
    with shelf.container(first) as (container, prefix):
        container.upload_blob(f"{prefix}{name}", content, overwrite=True)
    with pytest.raises(StateError) as caught:
        other.fetch("digits", first)
    assert what in str(caught.value)
    assert not Path(first.path).exists()
    with pytest.raises(StateError) as caught:
        other.rollback("digits")
    assert what in str(caught.value)
    assert champion(other) == 2
    assert [*Path("elsewhere").rglob("more.txt")] == []


def test_what_is_gone_from_the_workspace_is_said_and_registered_again(shelf, place, other):
    first = other.versions("digits")[0]
    shelf.lose(place.versions("digits")[0])
    with pytest.raises(StateError, match=r"digits 1 can not be fetched.*its bundle is gone"):
        other.fetch("digits", first)
    place.register(model(1, FIRST))
    other.fetch("digits", first)
    assert registry.damage(first) == ""


def test_a_digest_that_is_none_leads_nowhere(shelf, place):
    from azure.ai.ml.entities import Model

    evil = "../../../../" + "e" * 52
    path = place.versions("digits")[0].path
    properties = {"mlops_spec.digest": evil}
    made = Model(name="digits", version="7", path=path, properties=properties)
    shelf.ml.models.create_or_update(made)
    found = registry.find(place.versions("digits"), 7)
    assert (found.digest, found.path, found.intact) == ("", "", False)


def test_versions_of_others_are_told_apart_and_no_champion_of_ours(shelf, place):
    from azure.ai.ml.entities import Model

    path = place.versions("digits")[0].path
    for name, version in (("digits", "3"), ("digits", "by-hand"), ("letters", "1")):
        shelf.ml.models.create_or_update(Model(name=name, version=version, path=path))
    assert place.names() == ["digits"]
    assert [one.version for one in place.versions("digits")] == [1, 2, 3]
    assert [one.version for one in registry.of_ours(place.look("digits"), "digits")] == [1, 2]
    shelf.move_by_hand("digits", 3)
    with pytest.raises(StateError, match="champion of digits, version 3, was not registered"):
        registry.of_ours(place.look("digits"), "digits")


def test_a_rival_that_was_archived_or_deleted_is_still_known(shelf, place, other):
    first = place.versions("digits")[0]
    shelf.delete("digits", 1)
    *_, rival = registry.of_ours(other.look("digits"), "digits")
    assert (rival.version, rival.deleted, rival.digest) == (1, True, first.digest)
    assert rival.intact
    other.fetch("digits", rival)
    assert registry.damage(rival) == ""
    words = (emulation.GROUP, place.place.name, "digits", "1")
    shelf.ml.models._model_versions_operation.delete(*words)
    third = AzuremlRegistry(place.place, Path("third/models"))
    *_, rival = registry.of_ours(third.look("digits"), "digits")
    assert (rival.version, rival.deleted, rival.digest) == (1, True, first.digest)
    assert not rival.intact
    with pytest.raises(StateError, match="its bundle is gone"):
        third.fetch("digits", rival)


def test_a_champion_that_was_archived_is_none_any_more(shelf, place):
    shelf.delete("digits", 2)
    assert champion(place) == 0
    assert place.history("digits")[-1].kind == "outside"
    assert place.register(model(3, "3c" * 32)).version == 3  # a number is never given twice
    assert place.promote("digits", 3, "the next", 0).before == 0
    shelf.ml.models.restore("digits", "2")  # with the tag it had
    assert champion(place) == 3
    assert place.promote("digits", 3, "again", 3) is None
    assert shelf.alias("digits") == 3


def test_of_two_machines_that_move_at_once_the_later_one_is_refused(
    shelf, place, other, monkeypatch
):
    for number in (3, 4):
        place.register(model(number, f"{number}d" * 32, 2))
    before, lead = place.history("digits"), "mlops_spec.azure.assets.lead"
    real, moves = assets.lead, []

    def late(*words):
        monkeypatch.setattr(lead, real)
        moves.append(other.promote("digits", 4, "better", 2))
        return real(*words)

    monkeypatch.setattr(lead, late)
    with pytest.raises(StateError, match="another machine moved the champion of digits") as caught:
        place.promote("digits", 3, "better", 2)
    assert "it has version 4" in str(caught.value)
    assert shelf.alias("digits") == champion(place) == 4
    assert place.history("digits") == [*before, *moves]


def test_of_two_machines_that_make_a_version_at_once_the_later_one_is_refused(
    place, other, monkeypatch
):
    create = registering._create

    def late(ml, *words):
        monkeypatch.setattr(registering, "_create", create)
        names = ml.models._model_container_operation
        asked = {"resource_group_name": emulation.GROUP, "workspace_name": place.place.name}
        before = names.get(name="digits", **asked)  # says which number is the next
        other.register(model(4, "4d" * 32, 2))
        monkeypatch.setattr(names, "get", lambda **_: before)
        return create(ml, *words)

    monkeypatch.setattr(registering, "_create", late)
    with pytest.raises(StateError, match="somebody else changes the same") as caught:
        place.register(model(3, "3d" * 32, 2))
    assert caught.value.cure == "run the same command again"
    assert place.register(model(3, "3d" * 32, 2)).version == 4


@pytest.mark.usefixtures("place")
def test_a_workspace_that_is_not_there_is_said_with_the_cure():
    nowhere = Place(emulation.SUBSCRIPTION, emulation.GROUP, "mlw-nowhere")
    found = AzuremlRegistry(nowhere, HERE)
    for act in (found.names, lambda: found.versions("digits")):
        with pytest.raises(StateError, match="there is no workspace mlw-nowhere") as caught:
            act()
        assert "infra=terraform" in caught.value.cure
