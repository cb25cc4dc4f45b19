"""The registry's own copies of bundles on this machine: each is put in place whole.

A folder can not take another one's place in one move, so the one that lay there waits beside until
the other has come. Whoever is killed in between leaves it there, and the next writer puts it back.
All of this is done by who holds the registry's lock.
"""

from __future__ import annotations

import contextlib
import shutil
from typing import TYPE_CHECKING

from filelock import Timeout

from mlops_spec import bundle, learned, lineage, registry, signing, verification
from mlops_spec.errors import StateError
from mlops_spec.verification import Expected

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from mlops_spec.lineage import Lineage
    from mlops_spec.registry import Candidate

PATIENCE_SECONDS = 300.0  # for others who write


@contextlib.contextmanager
def alone(lock: AbstractContextManager[object], held: Path, home: Path) -> Iterator[None]:
    """While nobody else writes, and after what was left by a writer that was killed.

    Args:
        lock: Of the registry.
        held: What it is called in an error.
        home: Where bundles of the model are kept.

    Raises:
        StateError: Others write for long.
    """
    try:
        with lock:
            put_back(home)
            yield
    except Timeout as error:
        message = f"another process has held {held} for {PATIENCE_SECONDS:.0f} s"
        raise StateError(message, "wait for it to end, then run the same command again") from error


def store(candidate: Candidate, path: Path) -> None:
    """The registry's copy of a bundle, complete with metrics, report and lineage, put in place.

    It is made anew each time, of nothing that lay there: its lineage vouches for all of it. What
    lies there is exchanged only if it differs, for a moment without either.
    """
    partial = _begin(path)
    for name in bundle.FILES:
        shutil.copy2(candidate.bundle / name, partial)
    shutil.copy2(candidate.report, partial)
    with contextlib.suppress(FileNotFoundError):  # a trainer may not have recorded it
        shutil.copy2(candidate.bundle / learned.FILE, partial)
    card = bundle.read(candidate.bundle).model_copy(update={"metrics": dict(candidate.metrics)})
    bundle.write(partial, card)
    made = lineage.make(partial, candidate.model, candidate.train, candidate.known)
    lineage.write(partial, made, candidate.known.key)
    if _is_there(path, made, candidate.known.key):
        shutil.rmtree(partial)
        return
    _exchange(partial, path)


def bring(path: Path, download: Callable[[Path], None], expected: Expected) -> str:
    """Puts a bundle that is kept elsewhere in place, if it is what is expected.

    Args:
        path: Its place.
        download: Writes its files into a folder.
        expected: What it has to be; nothing that comes from elsewhere is believed.

    Returns:
        Why it stayed away; empty when it is there.
    """
    partial = _begin(path)
    download(partial)
    wrong = verification.check(partial, expected, signature=False).problems
    gone = not any(partial.iterdir())
    if gone or wrong:
        shutil.rmtree(partial)
        return "its bundle is gone" if gone else f"what is kept of it is damaged: {wrong[0]}"
    _exchange(partial, path)
    return ""


def _begin(path: Path) -> Path:
    """An empty folder to make a bundle in."""
    partial = _partial_of(path)
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    return partial


def _exchange(partial: Path, path: Path) -> None:
    if path.exists():
        path.replace(registry.aside_of(path))
    partial.replace(path)
    put_back(path.parent)


def _is_there(path: Path, made: Lineage, key: Ed25519PrivateKey | None) -> bool:
    """Whether a bundle lies there whole, signed by the same key, of a lineage but for its date."""
    if (path / lineage.SIGNATURE).exists() != bool(key):
        return False
    found = verification.check(path, Expected())
    if found.problems or found.lineage is None:
        return False
    signer = signing.text_of(signing.public_of(key)) if key else ""
    same = found.lineage.model_copy(update={"registered": made.registered})
    return (same, found.signer) == (made, signer)


def left(home: Path) -> list[Path]:
    """The bundles of a model that others were about to take the place of."""
    return [*home.glob(f".*{registry.ASIDE}")]


def put_back(home: Path) -> None:
    """Puts back each bundle whose successor never came, and deletes those whose successor did."""
    for one in left(home):
        path = one.with_name(one.name[1:].removesuffix(registry.ASIDE))
        if not path.exists():
            one.replace(path)
            continue
        # Deleted under another name: half of a bundle must never be put back.
        partial = _partial_of(path)
        shutil.rmtree(partial, ignore_errors=True)
        one.replace(partial)
        shutil.rmtree(partial, ignore_errors=True)


def _partial_of(path: Path) -> Path:
    return path.with_name(f".{path.name}.partial")
