"""Who is champion of a workspace's model, from tags alone: they may have been left by anybody."""

import pytest
from filelock import FileLock

from mlops_spec import champions, copies
from mlops_spec.azure import assets, content
from mlops_spec.azure.place import Place
from mlops_spec.azure.registry import AzuremlRegistry
from mlops_spec.champions import Move
from mlops_spec.errors import StateError


def noted(before, after, when="2026-01-01T00:00:00Z"):
    return champions.note(Move(before, after, "promote", "better", when))


def read(tags):
    moves, last = assets._moves(tags)
    holders = sorted(number for number, own in tags.items() if "champion" in own)
    return assets._champion(holders, moves), [move.after for move in moves], last


FIRST, SECOND = "mlops_spec.move.000001", "mlops_spec.move.000002"


@pytest.mark.parametrize(
    ("tags", "found"),
    [
        ({}, (0, [], 0)),
        ({1: {}, 2: {}}, (0, [], 0)),
        ({1: {"champion": "by hand"}}, (1, [], 0)),
        # Killed before the tag of the one before was taken away
        ({1: {FIRST: noted(0, 1), "champion": ""}, 2: {SECOND: noted(1, 2), "champion": ""}}, 2),
        ({2: {FIRST: noted(0, 2), "champion": ""}, 1: {SECOND: noted(2, 1), "champion": ""}}, 1),
        # Moved back by hand
        ({1: {FIRST: noted(0, 1), "champion": ""}, 2: {SECOND: noted(1, 2)}}, 1),
        # Two by hand, without a note
        ({1: {"champion": ""}, 2: {"champion": ""}, 3: {}}, 2),
        # Two machines at once: the earlier tag counts, wherever it is
        (
            {
                2: {SECOND: noted(1, 2), "champion": "T2"},
                3: {SECOND: noted(1, 3), "champion": "T1"},
            },
            3,
        ),
        (
            {
                2: {SECOND: noted(1, 2), "champion": "T1"},
                3: {SECOND: noted(1, 3), "champion": "T2"},
            },
            2,
        ),
    ],
)
def test_the_champion_is_the_one_whose_move_is_the_later(tags, found):
    champion, moves, last = read(tags)
    assert (champion, moves, last) == found if isinstance(found, tuple) else champion == found


@pytest.mark.parametrize(
    "own",
    [
        {FIRST: noted(0, 2)},  # of another version
        {FIRST: "no note"},
        {"mlops_spec.move.1": noted(0, 1)},
        {"mlops_spec.move.0000001": noted(0, 1)},
        {"move.000001": noted(0, 1)},
    ],
)
def test_what_is_no_note_of_this_version_is_none(own):
    assert assets._moves({1: own}) == ([], 0)


def test_the_moves_lead_to_the_champion_whatever_was_deleted():
    """With version 2, the note of its move is gone."""
    tags = {1: {FIRST: noted(0, 1)}, 3: {"mlops_spec.move.000003": noted(2, 3), "champion": ""}}
    moves, last = assets._moves(tags)
    followed = champions.followed(moves, 3)
    assert [(move.before, move.after, move.kind) for move in followed] == [
        (0, 1, "promote"),
        (1, 2, "outside"),
        (2, 3, "promote"),
    ]
    assert last == 3


def test_a_rival_that_is_gone_is_known_by_its_digest():
    mark, digest = {"mlops_spec.baseline": "1"}, "a1" * 32
    assert assets._with_rivals({2: {**mark, assets.RIVAL: digest}})[1] == {
        "mlops_spec.digest": digest
    }
    for wrong in ("none", "", "../../x", "A1" * 32):
        assert 1 not in assets._with_rivals({2: {**mark, assets.RIVAL: wrong}})
    there = {1: {"mlops_spec.digest": "b2" * 32}, 2: {**mark, assets.RIVAL: digest}}
    assert assets._with_rivals(there) == there


@pytest.mark.parametrize(
    "name", ["../x", "a/b", "a\\b", "", ".", "..", ".hidden", "a\nb", "x" * 101]
)
def test_only_plain_names_are_written(name):
    with pytest.raises(StateError, match="has a file called"):
        content._check({"model.onnx", name}, "azureml://datastores/a/paths/b")


def test_not_without_end():
    content._check({f"file{number}" for number in range(100)}, "")
    with pytest.raises(StateError, match="has 101 files"):
        content._check({f"file{number}" for number in range(101)}, "")


def test_one_writes_at_a_time_on_a_machine(tmp_path, monkeypatch):
    monkeypatch.setattr(copies, "PATIENCE_SECONDS", 0.1)
    place = AzuremlRegistry(Place("nobody", "asks", "this"), tmp_path / "models")
    acts = (lambda: place.promote("digits", 1, "", 0), lambda: place.rollback("digits"))
    with FileLock(tmp_path / "models.lock"):
        for act in acts:
            with pytest.raises(StateError, match=r"has held .*models\.lock"):
                act()
