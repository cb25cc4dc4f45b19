"""Which engine serves a model on this machine, and why.

    onnxruntime, openvino   that one
    auto                    the fastest of those that are installed, and that repeat the golden
                            answers within `golden_tolerance`

The precision is never chosen here: what it costs in accuracy is a person's decision.
"""

from __future__ import annotations

import base64
import math
import statistics
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from deployers.scoring import engines, pictures, quantized
from deployers.scoring.refusal import Refusal
from mlops_spec import bundle
from mlops_spec.errors import MlopsError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from deployers.scoring.engines import Engine
    from deployers.scoring.settings import Serving
    from mlops_spec.card import Card

AUTO = "auto"
_USUAL = "onnxruntime"  # what judged the model
_CLEARLY = 1.1  # times faster than that; less may be chance
_TURNS, _RUNS = 3, 2  # of each engine, and its runs in a turn
_MANY = 8  # images in a batch that is measured: a start must not take long


@dataclass(frozen=True)
class Choice:
    """An engine that is ready.

    Attributes:
        engine: It.
        name: Its module.
        precision: What it computes in.
        why: It was chosen, for people.
        golden_difference: The largest difference between its probabilities of golden inputs and
            the recorded ones; none where the bundle has none.
    """

    engine: Engine
    name: str
    precision: str
    why: str
    golden_difference: float | None

    def document(self) -> dict[str, Any]:
        """What the log and `/model` tell of it."""
        off = self.golden_difference
        return {
            "engine": self.name,
            "precision": self.precision,
            "why": self.why,
            "golden_difference": off if off is None else float(f"{off:.2g}"),
        }


@dataclass(frozen=True)
class Speed:
    """Seconds for one image, and for each of a batch."""

    one: float
    each: float

    def both(self) -> float:
        """Their geometric mean: twice as fast in one is worth twice as slow in the other."""
        return math.sqrt(self.one * self.each)

    def __str__(self) -> str:
        return f"{self.one * 1000:.1f} ms an image, {1 / self.each:.0f} images/s in batches"


def choose(folder: Path, card: Card, how: Serving, int8: Path | None = None) -> Choice:
    """Opens the engine that the settings ask for.

    Args:
        folder: The bundle.
        card: The bundle's.
        how: The settings.
        int8: Where the bundle's int8 network is, if there is one.

    Raises:
        MlopsError: It can not serve this model here; of `auto`, none can.
    """
    whole = folder / bundle.FILES[1]
    network = quantized.network(int8, folder) if how.precision == "int8" else whole
    if how.engine == AUTO:
        return _fastest(network, card, how)
    engine = engines.named(how.engine).load(network, card, how.precision)
    off = difference(engine, card)
    why = "the settings say so"
    if off is not None and off > how.golden_tolerance:
        why += f"; {_beyond(off, how.golden_tolerance)}"
    return Choice(engine, how.engine, how.precision, why, off)


def difference(engine: Engine, card: Card) -> float | None:
    """The largest difference between golden probabilities and an engine's; none without any.

    Raises:
        MlopsError: A golden input is no image, or is answered by what is no number.
    """
    if not card.golden:
        return None
    try:
        images = [base64.b64decode(one.image) for one in card.golden]
        batch = np.stack(pictures.all_decoded(images, card.preprocessing))
    except Refusal as refusal:
        message = f"a golden input of the model can not be used: {refusal}"
        raise MlopsError(
            message, "restore the bundle from its registry, or train again"
        ) from refusal
    found = bundle.activated(engine.logits(batch), card.activation, card.temperature)
    off = float(np.abs(found - np.array([one.scores for one in card.golden])).max())
    if not math.isfinite(off):
        raise MlopsError(
            "it answers golden inputs by what is no number", "choose another precision"
        )
    return off


def _beyond(off: float, tolerance: float) -> str:
    return f"golden probabilities are off by {off:.2g}, golden_tolerance is {tolerance:g}"


def _fastest(network: Path, card: Card, how: Serving) -> Choice:
    """The fastest engine that answers as recorded.

    Raises:
        MlopsError: There is none.
    """
    ready: dict[str, Engine] = {}
    offs: dict[str, float | None] = {}
    passed_over: dict[str, str] = {}
    for name in engines.names():
        try:
            engine = engines.named(name).load(network, card, how.precision)
            off = offs[name] = difference(engine, card)
        except MlopsError as error:
            passed_over[name] = error.message
            continue
        if off is not None and off > how.golden_tolerance:
            passed_over[name] = _beyond(off, how.golden_tolerance)
        else:
            ready[name] = engine
    if not ready:
        message = f"no engine can serve this model in {how.precision}: {_listed(passed_over)}"
        raise MlopsError(
            message, "choose another precision, raise golden_tolerance, or train again"
        )
    speeds = measured(ready, card, how.max_batch) if len(ready) > 1 else {}
    best = preferred(speeds) if speeds else next(iter(ready))
    return Choice(ready[best], best, how.precision, _why(best, speeds, passed_over), offs[best])


def measured(some: Mapping[str, Engine], card: Card, batch: int) -> dict[str, Speed]:
    """How fast each engine is on this machine, now, with so many images at a time at most."""
    size, channels = card.preprocessing.input_size, card.preprocessing.channels
    shape = (min(batch, _MANY), size, size, channels)
    noise = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    one, many = _seconds(some, noise[:1]), _seconds(some, noise)
    return {name: Speed(one[name], many[name] / len(noise)) for name in some}


def _seconds(some: Mapping[str, Engine], batch: np.ndarray) -> dict[str, float]:
    """Median seconds that each takes for a batch; in turns, and each time warm.

    The first run of a turn does not count: threads of the engine before may still spin.
    """
    taken: dict[str, list[float]] = {name: [] for name in some}
    for _ in range(_TURNS):
        for name, engine in some.items():
            engine.logits(batch)
            for _ in range(_RUNS):
                start = time.perf_counter()
                engine.logits(batch)
                taken[name].append(time.perf_counter() - start)
    return {name: statistics.median(seconds) for name, seconds in taken.items()}


def preferred(speeds: Mapping[str, Speed]) -> str:
    """The fastest; what judged the model, where no other is clearly faster."""
    best = min(speeds, key=lambda name: speeds[name].both())
    usual = speeds.get(_USUAL)
    return _USUAL if usual and usual.both() < speeds[best].both() * _CLEARLY else best


def _why(best: str, speeds: Mapping[str, Speed], passed_over: Mapping[str, str]) -> str:
    """Why one was chosen among others."""
    others = {name: str(speed) for name, speed in speeds.items() if name != best}
    said = f"{speeds[best]}; against {_listed(others)}" if speeds else "no other can"
    return f"{said}; passed over {_listed(passed_over)}" if passed_over else said


def _listed(reasons: Mapping[str, str]) -> str:
    return "; ".join(f"{name}: {why}" for name, why in reasons.items())
