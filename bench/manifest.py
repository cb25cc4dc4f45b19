"""A manifest of a million images: checked and written, and read again.

python bench/manifest.py
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from _common import report, rounded, seconds

from mlops_spec import manifest
from mlops_spec.rows import SPLITS, Row

IMAGES, CLASSES, MOST = 1_000_000, 1000, 10.0


def main() -> None:
    """Measures both ways."""
    rows = [
        Row(f"c{i % CLASSES}/{i:07}.jpg", f"c{i % CLASSES}", SPLITS[i // CLASSES % 3], f"{i:064x}")
        for i in range(IMAGES)
    ]
    with tempfile.TemporaryDirectory() as name:
        here = Path(name)
        write = seconds(lambda: manifest.write(here, here, rows))
        read = seconds(lambda: manifest.read(here))
        megabytes = (here / "manifest.csv").stat().st_size / 1e6
    report(
        {
            "images": IMAGES,
            "seconds": rounded({"write": write, "read": read}),
            "megabytes": round(megabytes),
            "target": f"write + read < {MOST} s",
            "met": write + read < MOST,
        }
    )


if __name__ == "__main__":
    main()
