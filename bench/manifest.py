"""A manifest of a million images: a user's table checked, the manifest written, and read again.

python bench/manifest.py
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import yaml
from _common import ROOT, report, rounded, seconds

from mlops_spec import manifest
from mlops_spec.rows import SPLITS, Row
from trainers.datasets import table

IMAGES, CLASSES, MOST = 1_000_000, 1000, 10.0


def main() -> None:
    """Measures all ways, and how many objects the read manifest is."""
    rows = [
        Row(f"c{i % CLASSES}/{i:07}.jpg", f"c{i % CLASSES}", SPLITS[i // CLASSES % 3], f"{i:064x}")
        for i in range(IMAGES)
    ]
    with tempfile.TemporaryDirectory() as name:
        here = Path(name)
        write = seconds(lambda: manifest.write(here, here, rows))
        before = sys.getallocatedblocks()
        kept = []
        read = seconds(lambda: kept.append(manifest.read(here)))
        objects = sys.getallocatedblocks() - before
        check = seconds(lambda: sum(1 for _ in table._listed(_wish(here / "manifest.csv"))))  # noqa: SLF001
    report(
        {
            "images": IMAGES,
            "seconds": rounded({"check a table": check, "write": write, "read": read}),
            "objects held": objects,
            "target": f"each < {MOST} s",
            "met": max(check, write, read) < MOST,
        }
    )


def _wish(file: Path) -> table.Spec:
    """The preset, for a table with a split."""
    values = yaml.safe_load((ROOT / "conf" / "data" / "table.yaml").read_text("utf-8"))
    changes = {"file": str(file), "columns": {**values["columns"], "split": "split"}}
    return table.Spec.model_validate({**values, **changes})


if __name__ == "__main__":
    main()
