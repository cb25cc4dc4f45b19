"""The entry script of Azure ML's inference server as the origin has it, or one that takes JPEG.

The environment says which: PEER, BUNDLE.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

from _serve_eager import Eager
from azureml_inference_server_http.api.aml_request import rawhttp
from azureml_inference_server_http.api.aml_response import AMLResponse

if TYPE_CHECKING:
    from azureml_inference_server_http.api.aml_request import AMLRequest

_model: Eager


def init() -> None:
    """Builds the network."""
    global _model  # noqa: PLW0603 - the server's contract: init once, run often
    _model = Eager()


def _pixels(raw: str) -> dict[str, Any]:
    return _model.tensor(raw)


def _jpeg(request: AMLRequest) -> AMLResponse:
    answer = json.dumps(_model.image(request.get_data()))
    return AMLResponse(answer, 200, {"Content-Type": "application/json"})


run = _pixels if os.environ["PEER"].endswith("pixels as JSON") else rawhttp(_jpeg)
