"""The entry script of Azure ML's own inference server: the same contract at its `/score`.

The server has its own ways for keys, limits of time, logs and health. It gives one request after
the other, so that nothing is batched.

    AZUREML_MODEL_DIR   where the bundle is, as Azure ML sets it
    SCORING_SETTINGS    the section `serving` of the spec, as JSON
    SCORING_MODEL       NAME:VERSION of the registered model
    SCORING_INT8        the folder that quantisation left, for precision int8

Samples are kept as by our own service; nobody counts them, where there is no /metrics.
"""

from __future__ import annotations

import atexit
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from azureml_inference_server_http.api.aml_request import rawhttp
from azureml_inference_server_http.api.aml_response import AMLResponse
from flask import g

from deployers.scoring import pictures, served, wire
from deployers.scoring.refusal import Refusal, too_large
from deployers.scoring.sampling import Sampler
from deployers.scoring.settings import Serving

if TYPE_CHECKING:
    from azureml_inference_server_http.api.aml_request import AMLRequest

    from deployers.scoring.served import Served

_model: Served
_how: Serving
_sampler: Sampler


def init() -> None:
    """Opens the bundle, and computes once: the first request shall not wait for that."""
    global _model, _how, _sampler  # noqa: PLW0603 - the server's contract: init once, run often
    _how = Serving.model_validate_json(os.environ["SCORING_SETTINGS"])
    pictures.limit(_how.max_pixels)
    name, _, version = os.environ.get("SCORING_MODEL", "").partition(":")
    cards = sorted(Path(os.environ["AZUREML_MODEL_DIR"]).rglob("model.json"))
    if len(cards) != 1:
        message = f"{len(cards)} bundles in AZUREML_MODEL_DIR, and exactly one can be served"
        raise ValueError(message)
    int8 = os.environ.get("SCORING_INT8")
    _model = served.load(cards[0].parent, name, version, _how, Path(int8) if int8 else None)
    _sampler = Sampler(_how.sampling, _model, lambda _outcome: None)
    atexit.register(_sampler.close)
    print(json.dumps(_model.chosen.document()), flush=True)  # noqa: T201 - the server's log
    _model.engine.logits(_model.blank(1))


@rawhttp  # type: ignore[untyped-decorator]
def run(request: AMLRequest) -> AMLResponse:
    """Answers one request, or says why not."""
    try:
        document, status = _answered(request), 200
    except Refusal as refusal:
        document, status = {"error": str(refusal)}, int(refusal.status)
    return AMLResponse(json.dumps(document), status, {"Content-Type": "application/json"})


def _answered(request: AMLRequest) -> dict[str, object]:
    if (request.content_length or 0) > _how.max_bytes:
        raise too_large(f"more than {_how.max_bytes} bytes")
    top = wire.top(request.args.get("top"), _how.top_k)
    preprocessing = _model.card.preprocessing
    images = wire.images_of(
        request.content_type or "", request.get_data(), _how.max_images, preprocessing
    )
    if isinstance(images, np.ndarray):
        arrays = images
    else:
        arrays = np.stack(pictures.all_decoded(images, preprocessing))
    probabilities = _model.probabilities(_model.engine.logits(arrays))
    _sampler.offer(g.request_id, images, probabilities)
    return _model.document(probabilities, top)
