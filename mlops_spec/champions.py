"""Who was champion of a model, and why: the moves of its alias as values.

A registry notes a move before it moves the alias, and nobody can do both at once in every registry.
So a note alone means nothing: where the alias is found to be still where it was before, now or by
whoever noted the next move, the move never came. Whatever is killed between the two leaves a note
that is passed over, and a history that never contradicts the alias.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_MOST_WORDS = 500  # characters of a reason


@dataclass(frozen=True)
class Move:
    """The champion alias went from one version to another; 0 is no version."""

    before: int
    after: int
    kind: Literal["promote", "rollback", "outside"]
    why: str = ""
    when: str = ""  # UTC, to the second; unknown of a move that others made


def note(move: Move) -> str:
    """A move as a registry keeps it: one line of JSON."""
    return json.dumps({**asdict(move), "why": move.why[:_MOST_WORDS]}, ensure_ascii=False)


def noted(text: str) -> Move | None:
    """The move of a note; None for what is no note, or one of a later version of this program."""
    try:
        move = Move(**json.loads(text))
    except (ValueError, TypeError, RecursionError):
        return None
    numbers, texts = (move.before, move.after), (move.why, move.when)
    sound = all(isinstance(one, int) for one in numbers)
    sound = sound and all(isinstance(one, str) for one in texts)
    return move if sound and move.kind in ("promote", "rollback") else None


def followed(notes: Sequence[Move], champion: int) -> list[Move]:
    """The moves that happened, in order, so that they lead to the champion of now.

    A note whose move never came is left out; so is one that others undid at once, which looks the
    same. Where the alias was found elsewhere, others moved it, with MLflow's own pages for example:
    that is a move too, of unknown time.

    Args:
        notes: What was noted, the oldest first.
        champion: The version that the alias is at now; 0 for none.
    """
    found = [*(move.before for move in notes), champion][1:]
    moves: list[Move] = []
    at = 0
    for move, then in zip(notes, found, strict=True):
        moves += _outside(at, move.before)
        at = move.before
        if then != move.before:
            moves.append(move)
            at = move.after
    return [*moves, *_outside(at, champion)]


def _outside(before: int, after: int) -> Iterator[Move]:
    if before != after:
        yield Move(before, after, "outside", "moved by hand, not from here")


def line(moves: Sequence[Move]) -> list[int]:
    """The champions that rollbacks go back through, the last one first to go.

    Going back forgets the one that was left, so that a second rollback does not return to it.
    """
    champions: list[int] = []
    for move in moves:
        if move.kind == "rollback" and move.after in champions[:-1]:
            champions.pop()
            while champions[-1] != move.after:
                champions.pop()
        elif move.after:
            champions.append(move.after)
    return champions


def rolled_back(moves: Sequence[Move]) -> set[int]:
    """The versions that a rollback took the place from, and that did not get it back since."""
    out: set[int] = set()
    for move in moves:
        if move.kind == "rollback":
            out.add(move.before)
        out.discard(move.after)
    return out
