"""What every registry does, whatever is behind it; see registries.py for how to add another."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from registries import IMPLEMENTATIONS, candidate, champion, origin

from mlops_spec import bundle, lineage, registry
from mlops_spec.errors import StateError

# MLflow's own tables use a loader that SQLAlchemy 2.1 deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader:DeprecationWarning")

KEYS = ["", *(f"{number}a" * 32 for number in range(1, 6))]


EACH = [pytest.param(name, marks=case.marks) for name, case in sorted(IMPLEMENTATIONS.items())]


@pytest.fixture(scope="module", params=EACH)
def made(request, tmp_path_factory):
    """A registry with one version and no champion; a first one may take seconds to make."""
    case, folder = IMPLEMENTATIONS[request.param], tmp_path_factory.mktemp(request.param)
    with case.world(tmp_path_factory.mktemp("world")):
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(folder)
            first = candidate(folder / "model1", KEYS[1], 0, 1.0, metrics={"log_loss": 0.25})
            case.open().register(first)
        yield case, folder, first


@pytest.fixture
def case(made, tmp_path, monkeypatch):
    case, folder, first = made
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    case.moved(first)
    return case


@pytest.fixture
def place(case):
    return case.open()


def model(number, baseline=0, **more):
    return candidate(Path(f"model{number}"), KEYS[number], baseline, float(number), **more)


def promoted(place, *numbers):
    """Registers and promotes models, one after another."""
    for number in numbers:
        made, beaten = place.register(model(number)), champion(place)
        place.promote("digits", made.version, f"model {number} is better", beaten)
    return place


def ways(place):
    return [(move.before, move.after, move.kind) for move in place.history("digits")]


def test_what_is_not_there_is_empty_and_not_made(place):
    assert place.names() == ["digits"]
    assert place.versions("letters") == []
    assert place.history("letters") == []
    assert place.names() == ["digits"]


def test_a_version_tells_what_was_registered(place):
    metrics = {"macro_f1": 0.5, "log_loss": 1e-07, "accuracy": 1 / 3}
    made = place.register(model(2, baseline=1, metrics=metrics))
    assert (made.version, made.train, made.baseline, made.champion) == (2, KEYS[2], 1, False)
    assert made.metrics == metrics
    assert [*made.metrics] == ["accuracy", "log_loss", "macro_f1"]
    assert made.digest == bundle.digest(Path("model2/bundle")) == bundle.digest(Path(made.path))
    assert made.created.startswith("20")
    assert made.created.endswith("Z")
    assert place.versions("digits")[1] == made
    assert registry.damage(made) == ""


def test_registering_leaves_the_champion_alone(place):
    promoted(place, 1)
    place.register(model(2))
    assert champion(place) == 1
    assert ways(place) == [(0, 1, "promote")]


def test_the_same_model_keeps_its_version_and_takes_its_last_judgement(place):
    again = replace(model(2), bundle=Path("model1/bundle"), baseline=7, metrics={"accuracy": 0.5})
    made = place.register(again)
    assert (made.version, made.train, made.baseline) == (1, KEYS[2], 7)
    assert made.metrics == {"accuracy": 0.5, "log_loss": 0.25}
    assert place.versions("digits") == [made]


def test_models_are_apart_and_named_in_order(place):
    place.register(model(2, model="letters"))
    place.promote("letters", 1, "the first", 0)
    assert place.names() == ["digits", "letters"]
    assert champion(place) == 0
    assert place.history("digits") == []
    assert place.versions("letters")[0].champion


def test_the_alias_is_where_the_registry_says_it_is(case, place):
    promoted(place, 1, 2)
    assert case.alias("digits") == champion(place) == 2
    place.rollback("digits")
    assert case.alias("digits") == champion(place) == 1


def test_a_promotion_is_noted_with_time_and_reason(place):
    promoted(place, 1)
    place.register(model(2))
    move = place.promote("digits", 2, "gate: better „by far“", 1)
    assert (move.before, move.after, move.kind, move.why) == (
        1,
        2,
        "promote",
        "gate: better „by far“",
    )
    assert move.when.endswith("Z")
    assert place.history("digits")[-1] == move


def test_who_is_champion_already_is_not_promoted_again(place):
    promoted(place, 1)
    before = place.history("digits")
    for beaten in (0, 1, 7):  # whomever it beat when it became champion
        assert place.promote("digits", 1, "again", beaten) is None
    assert place.history("digits") == before


def test_who_beat_a_champion_of_before_does_not_become_champion(place):
    """Two models were judged against version 1 at the same time; the first to come stays."""
    promoted(place, 1)
    for number in (2, 3):
        place.register(model(number, baseline=1))
    place.promote("digits", 2, "better than 1", 1)
    before = place.history("digits")
    for beaten, what in ((1, "version 2, not version 1"), (0, "version 2, not none")):
        said = f"another model became champion meanwhile: digits has {what}"
        with pytest.raises(StateError, match=said) as caught:
            place.promote("digits", 3, "better than 1", beaten)
        assert "run the same command again" in caught.value.cure
    assert place.history("digits") == before
    assert place.promote("digits", 3, "better than 2", 2).before == 2


def test_who_beat_a_champion_that_is_none_any_more_does_not_become_champion(case, place):
    promoted(place, 1)
    place.register(model(2, baseline=1))
    case.delete("digits", 1)
    with pytest.raises(StateError, match="digits has none, not version 1"):
        place.promote("digits", 2, "better", 1)
    assert champion(place) == 0


def test_a_champion_that_is_trained_again_to_the_same_weights_is_not_its_own_rival(place):
    """Other code, the same model: judged against itself, it stays the challenger of before."""
    promoted(place, 1)
    second = model(2, baseline=1)
    place.promote("digits", place.register(second).version, "better", 1)
    again = place.register(replace(second, train=KEYS[5], baseline=2, known=origin(2)))
    assert (again.version, again.train, again.baseline) == (2, KEYS[5], 1)
    digest = place.versions("digits")[0].digest
    said = lineage.read(Path(again.path) / lineage.FILE)
    assert (said.train, said.parents.champion.version) == (KEYS[5], 1)
    assert said.parents.champion.digest == digest


def test_a_first_champion_that_is_trained_again_has_no_rival(place):
    promoted(place, 1)
    again = place.register(model(1, baseline=1))
    assert again.baseline == 0
    assert lineage.read(Path(again.path) / lineage.FILE).parents.champion is None


def test_a_rival_that_was_deleted_meanwhile_stays_the_parent(case, place):
    promoted(place, 1)
    place.promote("digits", place.register(model(2, baseline=1)).version, "better", 1)
    said = lineage.read(Path(place.versions("digits")[1].path) / lineage.FILE).parents
    case.delete("digits", 1)
    again = place.register(model(2, baseline=2))
    assert again.baseline == 1
    assert lineage.read(Path(again.path) / lineage.FILE).parents == said


def test_what_is_not_registered_can_not_be_promoted(place):
    with pytest.raises(StateError, match=r"digits has no version 9 to promote \(versions: 1\)"):
        place.promote("digits", 9, "", 0)
    with pytest.raises(StateError, match=r"letters has no version 1 to promote \(versions: none\)"):
        place.promote("letters", 1, "", 0)
    assert place.history("digits") == []


def test_going_back_twice_goes_back_twice(place):
    promoted(place, 1, 2, 3)
    assert [place.rollback("digits").after, place.rollback("digits").after] == [2, 1]
    with pytest.raises(
        StateError, match=r"no earlier champion to go back to: nobody was before version 1"
    ):
        place.rollback("digits")
    assert champion(place) == 1
    assert ways(place)[3:] == [(3, 2, "rollback"), (2, 1, "rollback")]
    assert [v.rolled_back for v in place.versions("digits")] == [False, True, True]


def test_after_going_back_a_promotion_goes_on_from_there(place):
    promoted(place, 1, 2)
    place.rollback("digits")
    promoted(place, 3)
    assert place.rollback("digits").after == 1
    place.promote("digits", 2, "after all", 1)
    assert [v.rolled_back for v in place.versions("digits")] == [False, False, True]


def test_going_back_passes_over_a_version_that_was_deleted(case, place):
    promoted(place, 1, 2, 3)
    case.delete("digits", 2)
    assert place.rollback("digits").after == 1


def test_without_a_champion_there_is_none_to_go_back_to(place):
    with pytest.raises(StateError, match="there never was one"):
        place.rollback("digits")
    with pytest.raises(StateError, match="letters has no earlier champion"):
        place.rollback("letters")


@pytest.mark.parametrize(
    ("meddle", "what"),
    [
        ("lose", "its bundle is gone"),
        ("change", "its weights or network were changed"),
        ("edit", "its model.json was changed"),
    ],
)
def test_nobody_goes_back_to_a_bundle_that_is_not_what_it_was(case, place, meddle, what):
    promoted(place, 1, 2)
    first = place.versions("digits")[0]
    getattr(case, meddle)(first)
    assert registry.damage(first) == what
    with pytest.raises(StateError, match=f"digits 1 was champion before, but {what}") as caught:
        place.rollback("digits")
    assert f"restore {first.path}" in str(caught.value)
    assert champion(place) == 2
    place.register(model(1))
    assert place.rollback("digits").after == 1


def test_a_damaged_champion_is_gone_back_from(case, place):
    promoted(place, 1, 2)
    case.lose(place.versions("digits")[1])
    assert place.rollback("digits").after == 1


def test_what_people_moved_by_hand_is_seen_and_does_not_count_as_going_back(case, place):
    promoted(place, 1, 2, 3)
    case.move_by_hand("digits", 1)
    assert ways(place)[2:] == [(2, 3, "promote"), (3, 1, "outside")]
    assert not any(version.rolled_back for version in place.versions("digits"))
    promoted(place, 4)
    assert ways(place)[3:] == [(3, 1, "outside"), (1, 4, "promote")]


def test_a_promotion_that_people_undid_at_once_looks_like_one_that_never_came(case, place):
    promoted(place, 1, 2)
    case.move_by_hand("digits", 1)
    assert ways(place) == [(0, 1, "promote")]


def killed(*_, **__):
    raise KeyboardInterrupt


@pytest.mark.parametrize("act", ["promote", "rollback"])
def test_a_move_that_is_interrupted_between_its_writes_never_was(case, place, act, monkeypatch):
    promoted(place, 1, 2)
    place.register(model(3))
    moves = {
        "promote": lambda: place.promote("digits", 3, "better", 2),
        "rollback": lambda: place.rollback("digits"),
    }
    before = place.history("digits")
    with monkeypatch.context() as patch:
        patch.setattr(case.second_write(), killed)
        with pytest.raises(KeyboardInterrupt):
            moves[act]()
    assert champion(place) == case.alias("digits") == 2
    assert place.history("digits") == before
    made = moves[act]()
    assert [*before, made] == place.history("digits")
    assert champion(place) == case.alias("digits") == made.after
