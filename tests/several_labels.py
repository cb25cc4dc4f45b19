"""Images of coloured stripes, and a table that says which colours each has."""

import csv
import io
from pathlib import Path

import numpy as np
from PIL import Image
from test_table_dataset import spec as table_spec

from mlops_spec import files, manifest
from trainers.datasets import table

COLORS = {"red": 0, "green": 1, "blue": 2}
COMBINATIONS = ("", "red", "green", "blue", "green|red", "blue|red", "blue|green", "blue|green|red")


def picture(label: str, number: int) -> bytes:
    """Stripes of each of the colours; no two are alike."""
    chance = np.random.default_rng([number, len(label)])
    array = chance.integers(0, 90, (16, 16, 3))
    for name in filter(None, label.split("|")):
        array[:, COLORS[name] * 5 : COLORS[name] * 5 + 5, COLORS[name]] += 150
    content = io.BytesIO()
    Image.fromarray(array.astype(np.uint8)).save(content, "PNG")
    return content.getvalue()


def written(folder_: Path, each: int = 10) -> Path:
    """A CSV file with each combination so many times."""
    with (folder_ / "photos.csv").open("w", newline="", encoding="utf-8") as opened:
        writer = csv.writer(opened)
        writer.writerow(("path", "label"))
        for number in range(each * len(COMBINATIONS)):
            label = COMBINATIONS[number % len(COMBINATIONS)]
            files.write_bytes(folder_ / f"{number}.png", picture(label, number))
            writer.writerow((f"{number}.png", " | ".join(reversed(label.split("|")))))
    return folder_ / "photos.csv"


def table_of(file: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(file.read_text("utf-8").splitlines()))


LOOSE = {"near_duplicates": "ignore", "leaks": "ignore", "near_distance": 0, "conflicts": "ignore"}


def prepared(file: Path, out: Path) -> manifest.Dataset:
    base = table_spec(file)
    checks = base.checks.model_copy(update=LOOSE)
    columns = base.columns.model_copy(
        update={"path": "path", "label": "label", "split": None, "group": None}
    )
    changes = {"columns": columns, "checks": checks, "multi_label": True, "root": None}
    return table.prepare(base.model_copy(update=changes), out)
