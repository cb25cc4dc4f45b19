"""Which images a model learned from, so that nobody judges it by them.

Splits may be drawn anew and data sets grow: what a champion was trained on may be among the test
images of its challenger. `trained_on.npy` in a bundle has the first 8 bytes of the sha256 of each
training and validation image, sorted, uint64; also those of the bundle that its weights are from.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from mlops_spec import files
from mlops_spec.errors import StateError

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np

    from mlops_spec.manifest import Dataset
    from mlops_spec.rows import Rows

FILE = "trained_on.npy"
_DIGITS = 16  # of a digest in hexadecimal: two of a billion images are alike by a chance of 1 to 36


def write(bundle_dir: Path, dataset: Dataset, weights: Path | None = None) -> None:
    """Records what a model has seen.

    Args:
        bundle_dir: The model.
        dataset: What it was trained on; its test split is left out.
        weights: Where it began, if that is a bundle with a record of its own.
    """
    import numpy as np

    parts = [_short(dataset.split(name)) for name in ("train", "val")]
    before = _read(weights) if weights else None
    parts += [] if before is None else [before]
    content = io.BytesIO()
    np.save(content, np.unique(np.concatenate(parts)), allow_pickle=False)
    files.write_bytes(bundle_dir / FILE, content.getvalue())


def among(bundle_dir: Path, rows: Rows) -> list[int] | None:
    """Positions of the images that a model learned from; none where that was not recorded.

    Raises:
        StateError: The record is damaged.
    """
    import numpy as np

    known = _read(bundle_dir)
    return None if known is None else [*map(int, np.flatnonzero(np.isin(_short(rows), known)))]


def _short(rows: Rows) -> np.ndarray:
    import numpy as np

    return np.array([int(digest[:_DIGITS], 16) for digest in rows.sha256], np.uint64)


def _read(bundle_dir: Path) -> np.ndarray | None:
    import numpy as np

    path = bundle_dir / FILE
    if not path.is_file():
        return None
    try:
        known = np.load(path, allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise _damaged(path, str(error)) from error
    if known.dtype != np.uint64 or known.ndim != 1:
        raise _damaged(path, f"it holds {known.dtype} of {known.ndim} dimensions")
    return np.asarray(known)


def _damaged(path: Path, what: str) -> StateError:
    cure = "train again, or restore the bundle from its registry"
    return StateError(f"{path} is damaged ({what})", cure)
