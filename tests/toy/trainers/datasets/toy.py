"""`data.kind: toy`: flat grey squares, dark or bright."""

import random
from pathlib import Path
from typing import Literal

from mlops_spec import files, manifest
from mlops_spec.spec import OpenSection


class Spec(OpenSection):
    kind: Literal["toy"]
    images: int
    noise: int


def fingerprint(_spec: Spec) -> dict[str, str]:
    return {"made": "here"}


def prepare(spec: Spec, out_dir: Path) -> manifest.Dataset:
    from PIL import Image

    random.seed(1)
    rows = []
    for label, grey in (("dark", 60), ("bright", 180)):
        for i in range(spec.images):
            path = out_dir / label / f"{i}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            level = grey + random.randint(-spec.noise, spec.noise)
            Image.new("L", (8, 8), level).save(path)
            split = ("train", "val", "test")[i % 3]
            rows.append(manifest.Row(f"{label}/{i}.png", label, split, files.sha256_file(path)))
    return manifest.write(out_dir, out_dir, rows)
