"""What an answer of a model costs on this machine."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from mlops_spec.bundle import Model
    from mlops_spec.manifest import Dataset

_TIMED, _WARM = 16, 3  # images whose latency is measured, and those before them


def measure(dataset: Dataset, model: Model, bundle_dir: Path) -> dict[str, float]:
    """Median and 95th percentile of one image in ms, decoding included, and the network's MB."""
    import numpy as np

    rows = dataset.split("test")
    images = [dataset.content(rows[i % len(rows)]) for i in range(_WARM + _TIMED)]
    seconds = []
    for image in images:
        begin = time.perf_counter()
        model.logits([image])
        seconds.append(time.perf_counter() - begin)
    median, slow = np.quantile(seconds[_WARM:], [0.5, 0.95]) * 1000
    size = (bundle_dir / "model.onnx").stat().st_size / 1e6
    return {"latency_ms": float(median), "latency_p95_ms": float(slow), "size_mb": size}
