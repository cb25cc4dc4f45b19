"""Transfer really transfers: a network trained on the digits 0-4 helps to learn 5-9 from few.

Ten images a class teach 5-9. A network that starts from chance, and three that start from one that
knows 0-4, are judged on the same 796 others.
"""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from small_training import MODEL, settings

from mlops_spec import evaluation, files, manifest
from mlops_spec.manifest import Row
from mlops_spec.spec import ModelSpec, StepSpec

pytestmark = pytest.mark.slow
A_CLASS = 10  # training images
LEAST_GAIN = 0.04  # accuracy; the gains measured are in docs/experiments.md
VARIANTS = {
    "from scratch": {"freeze": {"mode": "none"}},
    "linear probe": {"freeze": {"mode": "backbone"}},
    "frozen below": {"freeze": {"mode": "first", "children": 4}, "lr_decay": 0.5},
    "fine-tuned": {"freeze": {"mode": "none"}, "lr_decay": 0.5},
}


def step(**changes) -> StepSpec:
    whole = {"scale": (1.0, 1.0), "translate": 0.1}
    model = MODEL | {"resize": 16, "input_size": 16}
    head = {"hidden": 0, "dropout": 0.2, "keep": False}
    return StepSpec(
        seed=0,
        model=ModelSpec.model_validate({**model, "head": head}),
        training=settings(lr=0.01, augment=whole, **changes),
        compute={"accelerator": "cpu", "devices": 1},
    )


def digits(folder: Path, wanted, split_of) -> Path:
    """Prepares some of scikit-learn's digits; `split_of` the how-manieth image of its class."""
    from sklearn.datasets import load_digits

    counts, rows, known = dict.fromkeys(wanted, 0), [], load_digits()
    for number, (grey, target) in enumerate(zip(known.images, known.target, strict=True)):
        if target in counts:
            content, path = io.BytesIO(), f"{target}/{number}.png"
            Image.fromarray((grey * 15.9).astype(np.uint8)).save(content, "PNG")
            files.write_bytes(folder / path, content.getvalue())
            digest = files.sha256_file(folder / path)
            rows.append(Row(path, str(target), split_of(counts[target]), digest))
            counts[target] += 1
    manifest.write(folder, folder, rows)
    return folder


@pytest.fixture(scope="module")
def accuracies(tmp_path_factory) -> dict[str, float]:
    from trainers._torch import loop

    folder = tmp_path_factory.mktemp("transfer")
    low = digits(folder / "low", range(5), lambda i: ("val", "test", *["train"] * 6)[i % 8])
    few = {i: "train" if i < A_CLASS else "val" for i in range(2 * A_CLASS)}
    high = digits(folder / "high", range(5, 10), lambda i: few.get(i, "test"))
    loop.fit(step(epochs=12), low, folder / "knows_low")
    found = {}
    for name, changes in VARIANTS.items():
        out, start = folder / name, None if name == "from scratch" else folder / "knows_low"
        loop.fit(step(epochs=40, batch_size=10, **changes), high, out, start)
        found[name] = evaluation.evaluate(high, out, out / "judged", 64)["accuracy"]
    print(found)
    return found


@pytest.mark.parametrize("name", [name for name in VARIANTS if name != "from scratch"])
def test_what_was_learned_before_helps(accuracies, name) -> None:
    assert accuracies[name] >= accuracies["from scratch"] + LEAST_GAIN, accuracies


def test_fine_tuning_beats_the_linear_probe(accuracies) -> None:
    assert accuracies["fine-tuned"] > accuracies["linear probe"], accuracies
