"""`python -m deployers.scoring.quantize --bundle DIR --data DIR --out DIR ...`: a model in int8.

As a step of a run it takes `--registered` in place of `--bundle`, and `step` is what asks for it.

Ranges come from validation images, and what that costs is measured on the whole test split, by
every engine that is installed, beside float32 and bfloat16. A network that loses more accuracy than
it may is refused: the record stays, the network does not, and the exit code is a gate's.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from deployers.scoring import accuracy, engines, int8, quantized
from deployers.scoring.engines import Precision
from deployers.scoring.quantized import Record
from mlops_spec import bundle, files, machine, manifest, network
from mlops_spec.errors import ExitCode, MlopsError
from mlops_spec.judging import evaluation

if TYPE_CHECKING:
    from collections.abc import Sequence

    from deployers.scoring.accuracy import Named
    from deployers.scoring.engines import Engine
    from deployers.scoring.quantized import Accuracy
    from mlops_spec.card import Card

_LIBRARIES = ("onnx", "onnxruntime", "numpy", "pillow")
_ALWAYS = (accuracy.REFERENCE, ("onnxruntime", "int8"))


def main(words: Sequence[str] | None = None) -> int:
    """Quantises, measures, and says what came of it; returns the exit code."""
    parser = argparse.ArgumentParser("python -m deployers.scoring.quantize", description=__doc__)
    model = parser.add_mutually_exclusive_group(required=True)
    model.add_argument("--bundle", type=Path, help="the model")
    model.add_argument("--registered", type=Path, help="outputs of the step that registered it")
    parser.add_argument("--data", type=Path, required=True, help="the prepared data set")
    parser.add_argument("--out", type=Path, required=True, help="where the files go")
    parser.add_argument("--max-drop", type=_share, required=True, help="of accuracy, 0 to 1")
    parser.add_argument("--images", type=_count, required=True, help="to calibrate with")
    parser.add_argument("--batch", type=_count, required=True, help="images at a time")
    args = parser.parse_args(words)
    try:
        folder = args.bundle or registered(args.registered)
        content, record = quantise(folder, args.data, args.images, args.batch, args.max_drop)
        quantized.write(args.out, content, record)
        files.write_json(args.out / "summary.json", summary(record))
    except (MlopsError, OSError) as error:
        code = error.exit_code if isinstance(error, MlopsError) else ExitCode.UNEXPECTED
        parser.exit(int(code), f"error: {error}\n")
    print("\n".join(said(record)))  # noqa: T201 - the answer
    return int(ExitCode.REFUSED if record.refused() else ExitCode.DONE)


def quantise(
    folder: Path, data_dir: Path, images: int, batch: int, max_drop: float
) -> tuple[bytes, Record]:
    """A model's network in int8, and what each precision is worth.

    Args:
        folder: The bundle.
        data_dir: The prepared data set.
        images: Of the validation split, at most, to calibrate with.
        batch: Images at a time.
        max_drop: What accuracy int8 may lose.

    Returns:
        The network file's content, and the record.

    Raises:
        MlopsError: The bundle is none, can not be quantised, or does not belong to the data.
    """
    card, dataset = bundle.read(folder), manifest.read(data_dir)
    evaluation.check_kind(dataset, card)
    rows = dataset.split("val")
    rows = rows[:: -(-len(rows) // images)]  # from all over the split
    whole = folder / bundle.FILES[1]
    content = int8.quantised(network.content(whole), accuracy.batches(dataset, rows, card, batch))
    with tempfile.TemporaryDirectory() as name:
        small = Path(name) / quantized.NETWORK
        small.write_bytes(content)
        some = opened(whole, small, card)
        worth = accuracy.measure(some, dataset, card, batch)
        digest = files.sha256_file(small)
    test = dataset.split("test")
    libraries = (*_LIBRARIES, *sorted({engines.named(name).PACKAGE for name, _ in some}))
    record = Record(
        bundle=bundle.digest(folder),
        network=None,
        max_drop=max_drop,
        calibration_images=len(rows),
        calibration_digest=manifest.digest(rows),
        test_images=len(test),
        test_digest=manifest.digest(test),
        precisions=tuple(worth),
        versions={name: version(name) for name in libraries},
        machine=machine.describe(),
    )
    if not record.refused():
        record = record.model_copy(update={"network": digest})
    return content, record


def opened(whole: Path, small: Path, card: Card) -> dict[Named, Engine]:
    """Every engine, in every precision that it has here; the reference first.

    Args:
        whole: The bundle's network.
        small: The same in int8.
        card: The bundle's.

    Raises:
        MlopsError: ONNX Runtime can not open one of them.
    """
    found: dict[Named, Engine] = {}
    for precision in get_args(Precision):
        for name in engines.names():
            path = small if precision == "int8" else whole
            try:
                found[name, precision] = engines.named(name).load(path, card, precision)
            except MlopsError as error:
                if (name, precision) in _ALWAYS:
                    raise
                print(f"{name} {precision}: not measured: {error.message}")  # noqa: T201 - said
    return found


def registered(folder: Path) -> Path:
    """The bundle that a step registered, given that step's outputs."""
    return Path(files.read_json(folder / "version.json")["path"])


def summary(record: Record) -> dict[str, Any]:
    """What a run tells of it: a sentence, metrics, and whether it was refused."""
    worst = record.worst()
    text = f"{record.test_images} test images, as int8 by {worst.engine}"
    if record.refused():
        text = f"refused, max_drop is {record.max_drop:g}; {text}"
    metrics = {"accuracy": worst.accuracy, "difference": worst.difference}
    return {"text": text, "metrics": metrics, "refused": record.refused(), "unread": []}


def said(record: Record) -> list[str]:
    """What came of it, for people."""
    lines = [f"{record.test_images} test images, {record.calibration_images} to calibrate with"]
    lines += map(_line, record.precisions)
    if not record.refused():
        return lines
    worst = record.worst()
    beyond = f"int8 is refused: by {worst.engine} it loses {-worst.difference:.4f} accuracy"
    return [*lines, f"{beyond}, max_drop is {record.max_drop:g}"]


def _line(one: Accuracy) -> str:
    low, high = one.interval
    return (
        f"{one.engine:<12} {one.precision:<5} accuracy {one.accuracy:.4f}"
        f"  {one.difference:+.4f} [{low:+.4f}, {high:+.4f}], gained {one.gained}, lost {one.lost};"
        f" a drop of {one.drop_excluded:.4f} is excluded;"
        f" probabilities within {one.largest_change:.2g}"
    )


def _count(word: str) -> int:
    number = int(word)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{word} is not 1 or more")
    return number


def _share(word: str) -> float:
    number = float(word)
    if not 0 <= number <= 1:
        raise argparse.ArgumentTypeError(f"{word} is not between 0 and 1")
    return number


if __name__ == "__main__":
    sys.exit(main())
