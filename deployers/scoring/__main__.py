"""`python -m deployers.scoring --bundle DIR --host HOST --port PORT`: one model behind HTTP.

POST /score takes an image file and answers its label and every label's probability; GET /healthz
answers who is serving what. Only the bundle, numpy, Pillow and ONNX Runtime are needed.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import warnings
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from PIL import Image

from mlops_spec import bundle
from mlops_spec.errors import MlopsError

MAX_BYTES = 20 * 2**20  # of one uploaded image
MAX_PIXELS = 100_000_000


class Refusal(Exception):  # noqa: N818 - an answer, not a failure
    """A request that gets a clear no."""

    def __init__(self, status: HTTPStatus, message: str) -> None:
        super().__init__(message)
        self.status = status


class Server(ThreadingHTTPServer):
    """Holds the model that its requests are answered by."""

    daemon_threads = True

    def __init__(self, address: tuple[str, int], folder: Path) -> None:
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        super().__init__(address, Handler)
        self.model = bundle.load(folder)
        self.digest = bundle.digest(folder)


class Handler(BaseHTTPRequestHandler):
    """One request."""

    server: Server
    timeout = 30

    def do_GET(self) -> None:
        """Answers /healthz."""
        if self.path != "/healthz":
            self._answer(HTTPStatus.NOT_FOUND, {"error": "GET /healthz or POST /score"})
            return
        self._answer(HTTPStatus.OK, {"pid": os.getpid(), "digest": self.server.digest})

    def do_POST(self) -> None:
        """Answers /score."""
        try:
            self._answer(HTTPStatus.OK, self._score(self._body()))
        except Refusal as refusal:
            self._answer(refusal.status, {"error": str(refusal)})

    def _body(self) -> bytes:
        if self.path != "/score":
            raise Refusal(HTTPStatus.NOT_FOUND, "POST /score")
        length = self.headers.get("Content-Length", "")
        if not length.isdigit():
            raise Refusal(HTTPStatus.LENGTH_REQUIRED, "Content-Length is required")
        if int(length) > MAX_BYTES:
            raise Refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"at most {MAX_BYTES} bytes")
        return self.rfile.read(int(length))

    def _score(self, body: bytes) -> dict[str, Any]:
        try:
            found = self.server.model.probabilities([body])[0]
        except (
            OSError,
            ValueError,
            SyntaxError,
            MemoryError,
            Image.DecompressionBombError,
        ) as error:
            message = "the body is no image that can be read"
            raise Refusal(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, message) from error
        card = self.server.model.card
        scores = dict(zip(card.labels, map(float, found), strict=True))
        if card.activation == "sigmoid":
            return {"labels": bundle.answered(card.labels, found), "scores": scores}
        best = max(scores, key=scores.__getitem__)
        return {"label": best, "probability": scores[best], "scores": scores}

    def _answer(self, status: HTTPStatus, document: dict[str, Any]) -> None:
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def main() -> None:
    """Serves until it is told to stop."""
    parser = argparse.ArgumentParser("python -m deployers.scoring", description=__doc__)
    parser.add_argument("--bundle", type=Path, required=True, help="the model")
    parser.add_argument("--host", required=True)
    parser.add_argument("--port", type=int, required=True)
    args = parser.parse_args()
    Image.MAX_IMAGE_PIXELS = MAX_PIXELS // 2  # Pillow refuses twice this, and warns before
    warnings.simplefilter("error", Image.DecompressionBombWarning)
    try:
        server = Server((args.host, args.port), args.bundle)
    except MlopsError as error:
        parser.exit(int(error.exit_code), f"error: {error}\n")
    with server:
        server.serve_forever()


if __name__ == "__main__":
    main()
