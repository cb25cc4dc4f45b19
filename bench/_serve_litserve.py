"""LitServe with batches; images come as base64 in JSON, as its documentation has it.

python bench/_serve_litserve.py PORT

The environment says what it computes with: PEER, BUNDLE.
"""

from __future__ import annotations

import base64
import sys
from typing import Any

import litserve
from _serve_eager import here

TOGETHER, WAITING = 16, 0.005  # images of a batch, and seconds that it waits for them


class Api(litserve.LitAPI):  # type: ignore[misc]
    """The network as LitServe asks it, in a process of its own."""

    def setup(self, device: str) -> None:
        """Opens the network in that process."""
        del device
        self.does = here()

    def decode_request(self, request: dict[str, str]) -> Any:
        """The image of one request as the network takes it."""
        return self.does.picture(base64.b64decode(request["image"]))

    def batch(self, inputs: list[Any]) -> list[Any]:
        """Images of several requests."""
        return inputs

    def predict(self, x: list[Any]) -> list[dict[str, Any]]:
        """Answers them together."""
        return self.does.answers(x)

    def unbatch(self, output: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """The answers one by one."""
        return output

    def encode_response(self, output: dict[str, Any]) -> dict[str, Any]:
        """What one request is answered."""
        return output


if __name__ == "__main__":
    api = Api(max_batch_size=TOGETHER, batch_timeout=WAITING, api_path="/score")
    server = litserve.LitServer(api, accelerator="cpu")
    port = int(sys.argv[1])
    server.run(host="127.0.0.1", port=port, generate_client_file=False, log_level="error")
