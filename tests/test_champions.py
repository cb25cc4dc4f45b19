"""The moves of the champion alias as values."""

import pytest

from mlops_spec import champions
from mlops_spec.champions import Move, followed, line, note, noted, rolled_back


def up(before, after):
    return Move(before, after, "promote", "gate", "2026-11-25T10:00:00Z")


def back(before, after):
    return Move(before, after, "rollback", "", "2026-11-25T10:00:00Z")


def ways(moves):
    return [(move.before, move.after, move.kind) for move in moves]


def test_without_notes_and_champion_nothing_happened():
    assert followed([], 0) == []


def test_notes_that_lead_to_the_champion_are_its_history():
    notes = [up(0, 1), up(1, 2), back(2, 1)]
    assert followed(notes, 1) == notes


def test_a_note_whose_move_never_came_is_passed_over():
    """Killed between the two writes."""
    assert followed([up(0, 1), up(1, 2)], 1) == [up(0, 1)]
    assert followed([up(0, 1)], 0) == []


def test_a_move_that_was_tried_again_is_told_once():
    notes = [up(0, 1), up(1, 2), up(1, 2), back(2, 1), back(2, 1), up(1, 3)]
    assert ways(followed(notes, 3)) == [
        *((0, 1, "promote"), (1, 2, "promote"), (2, 1, "rollback"), (1, 3, "promote")),
    ]


def test_what_others_moved_is_told_too():
    moves = followed([up(0, 1), up(4, 5)], 3)
    kinds = [(0, 1, "promote"), (1, 4, "outside"), (4, 5, "promote"), (5, 3, "outside")]
    assert ways(moves) == kinds
    assert moves[1].when == ""
    assert ways(followed([], 2)) == [(0, 2, "outside")]
    assert ways(followed([up(0, 1)], 0)) == []  # nobody can tell it from a move that never came
    assert ways(followed([up(0, 1), up(1, 2)], 0))[-1] == (2, 0, "outside")


@pytest.mark.parametrize("champion", range(4))
@pytest.mark.parametrize("count", range(5))
def test_a_history_is_a_chain_from_nobody_to_the_champion(champion, count):
    notes = [up(0, 1), up(1, 2), back(2, 1), up(3, 1)][:count]
    moves = followed(notes, champion)
    at = 0
    for move in moves:
        assert move.before == at
        at = move.after
    assert at == champion


@pytest.mark.parametrize(
    ("moves", "expected"),
    [
        ([], []),
        ([up(0, 1), up(1, 2), up(2, 3)], [1, 2, 3]),
        ([up(0, 1), up(1, 2), up(2, 3), back(3, 2)], [1, 2]),
        ([up(0, 1), up(1, 2), up(2, 3), back(3, 2), back(2, 1)], [1]),
        ([up(0, 1), up(1, 2), back(2, 1), up(1, 3)], [1, 3]),
        ([up(0, 1), up(1, 2), up(2, 1)], [1, 2, 1]),
        ([up(0, 1), up(1, 2), up(2, 1), back(1, 2)], [1, 2]),
        ([up(0, 1), up(1, 2), up(2, 3), back(3, 1)], [1]),  # 2 was deleted meanwhile
        ([up(0, 1), Move(1, 0, "outside"), Move(0, 2, "outside")], [1, 2]),
        ([back(7, 1)], [1]),  # the beginning of the story is lost
    ],
)
def test_the_way_back_is_that_of_promotions(moves, expected):
    assert line(moves) == expected


def test_who_was_set_back_is_known_until_promoted_again():
    moves = [up(0, 1), up(1, 2), up(2, 3), back(3, 2), back(2, 1)]
    assert rolled_back(moves) == {2, 3}
    assert rolled_back([*moves, up(1, 3)]) == {2}
    assert rolled_back([*moves, Move(1, 2, "outside")]) == {3}
    assert rolled_back([up(0, 1), up(1, 2), Move(2, 1, "outside")]) == set()


def test_a_note_is_read_as_it_was_written():
    move = Move(1, 2, "promote", "besser als der Champion: 5 Bilder „gewonnen“", "2026-11-25")
    assert noted(note(move)) == move


def test_a_reason_that_is_too_long_for_a_note_is_cut():
    assert noted(note(Move(1, 2, "promote", "x" * 9999))).why == "x" * 500
    assert len(note(Move(1, 2, "promote", "ä" * 9999))) < 5000  # what MLflow's column takes


@pytest.mark.parametrize(
    "text",
    ["", "{", "1", "null", "[]", "{}", '"x"', '{"before": 1}', '{"before": "1", "after": 2}']
    + [note(up(1, 2)).replace("promote", kind) for kind in ("outside", "later")]
    + [note(up(1, 2)).replace('"2026-11-25T10:00:00Z"', when) for when in ("null", "7", "[]")]
    + [note(up(1, 2)).replace('"gate"', why) for why in ("null", "7", "{}")]
    + ["[" * 5000]
    + [note(up(1, 2)).replace(": 1,", ': "1",'), note(up(1, 2)).replace("{", '{"new": 1, ')],
)
def test_what_is_no_note_is_none(text):
    assert champions.noted(text) is None
