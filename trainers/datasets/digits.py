"""`data.kind: digits`: scikit-learn's handwritten digits, written out as PNG files.

Source: E. Alpaydin, C. Kaynak, Optical Recognition of Handwritten Digits, UCI 1998; the 1,797
images of the test set, which scikit-learn ships.
"""

from __future__ import annotations

import hashlib
import io
from importlib.metadata import version
from typing import TYPE_CHECKING, Literal

from mlops_spec import manifest, splits
from mlops_spec.rows import Row
from mlops_spec.spec import Fraction, Int, OpenSection

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mlops_spec.spec import Spec as WholeSpec


class Spec(OpenSection):
    """How the images are split."""

    kind: Literal["digits"]
    val_fraction: Fraction
    test_fraction: Fraction
    split_seed: Int


def contradictions(spec: WholeSpec) -> Iterator[tuple[str, str]]:
    """Fractions that leave nothing."""
    assert isinstance(spec.data, Spec)
    if spec.data.val_fraction + spec.data.test_fraction >= 1:
        yield "data.test_fraction", "val_fraction and test_fraction leave nothing to train on"


def fingerprint(_spec: Spec) -> dict[str, str]:
    """What the images are read from: they change only with scikit-learn's version."""
    return {"scikit-learn": version("scikit-learn")}


def prepare(spec: Spec, out_dir: Path) -> manifest.Dataset:
    """Writes the PNG files and their manifest."""
    import numpy as np
    from PIL import Image
    from sklearn.datasets import load_digits

    digits = load_digits()
    labels = [str(target) for target in digits.target]
    fractions = {"test": spec.test_fraction, "val": spec.val_fraction}
    contents = []
    for grey in digits.images:
        buffer = io.BytesIO()
        Image.fromarray((grey * (255 / 16)).round().astype(np.uint8)).save(buffer, "PNG")
        contents.append(buffer.getvalue())
    digests = [hashlib.sha256(content).hexdigest() for content in contents]
    drawn = splits.stratified(labels, fractions, spec.split_seed, digests)
    rows = []
    for i, (content, label, split) in enumerate(zip(contents, labels, drawn, strict=True)):
        path = out_dir / "images" / label / f"{i:04}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        rows.append(Row(str(path.relative_to(out_dir)), label, split, digests[i]))
    return manifest.write(out_dir, out_dir, rows)
