"""Weights that a training starts from, where they are files: told apart by content.

`model.weights` names them: a file, a bundle's folder, or `model:NAME[/VERSION]` for a registered
model, of which it is the champion when no version is given. `none` and `imagenet` are no files.
`weights` finds them; it is apart because trainings do not depend on how a registry is read.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mlops_spec import card as cards
from mlops_spec import files
from mlops_spec.spec import NO_FILE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlops_spec.spec import Spec

REGISTERED = "model:"  # how the name of a registered model begins
_CARRIED = {"digests", "labels", "preprocessing", "activation"}  # what training takes of a card


@dataclass(frozen=True)
class Pretrained:
    """Weights on this machine: where they lie and the digest of what they are."""

    path: str
    digest: str


def contradictions(spec: Spec) -> Iterator[tuple[str, str]]:
    """Weights that are not there, a folder that is no bundle, a champion of itself."""
    weights = spec.model.weights
    if weights == f"{REGISTERED}{spec.registered_model}":
        cure = f"name the version: model.weights={weights}/VERSION"
        yield "model.weights", f"each promotion would make it another one, without end; {cure}"
    if weights in NO_FILE or weights.startswith(REGISTERED):
        return
    path = Path(weights).expanduser()
    if not path.exists():
        choices = "none, imagenet, a file, a bundle's folder, or model:NAME"
        yield "model.weights", f"there is no file {weights} (weights are {choices})"
    elif path.is_dir() and not (path / cards.FILE).is_file():
        yield "model.weights", f"{weights} is no model bundle: it has no {cards.FILE}"


def digest(path: Path) -> str:
    """What weights are: of a file its content, of a bundle what its card says they are.

    Reading a bundle checks its files against the card.

    Raises:
        StateError: The card is not understood.
    """
    if not path.is_dir():
        return files.sha256_file(path)
    return files.sha256_of(cards.read(path / cards.FILE).model_dump(mode="json", include=_CARRIED))
