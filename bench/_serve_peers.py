"""The service as people write it themselves, by frameworks of Python; one file for each of others.

python bench/_serve_peers.py NAME BUNDLE PORT
"""

# No `from __future__ import annotations`: FastAPI reads them where they are written.
import base64
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

from _serve_eager import OURS, Eager, Given, computing, here

Answer = Callable[[bytes], dict[str, Any]]
TOGETHER, WAITING = 16, 0.005  # images of a batch in LitServe, and seconds that it waits for them


def fastapi(answer: Answer, port: int) -> None:
    """FastAPI on uvicorn; a plain function, so that it runs in its pool of threads."""
    import uvicorn
    from fastapi import Body, FastAPI

    app = FastAPI()

    @app.post("/score")
    def score(body: Annotated[bytes, Body(media_type="image/jpeg")]) -> dict[str, Any]:
        return answer(body)

    uvicorn.run(app, host="127.0.0.1", port=port, log_level="error")


def flask_app(answer: Answer) -> Any:
    """A Flask application."""
    import flask

    app = flask.Flask("peer")

    @app.post("/score")
    def score() -> dict[str, Any]:
        return answer(flask.request.get_data())

    return app


def wsgi() -> Any:
    """It for gunicorn: two workers with two threads, each computing with one of PyTorch's."""
    return flask_app(here().image)


def waitress(answer: Answer, port: int) -> None:
    """Flask on waitress, with its four threads."""
    import waitress as server

    server.serve(flask_app(answer), host="127.0.0.1", port=port)


def litserve(does: Eager | Given, port: int) -> None:
    """LitServe with batches; images come as base64 in JSON, as its documentation has it."""
    import litserve as ls

    class Api(ls.LitAPI):  # type: ignore[misc]
        def setup(self, device: str) -> None:
            del device

        def decode_request(self, request: dict[str, str]) -> Any:
            return does.picture(base64.b64decode(request["image"]))

        def batch(self, inputs: list[Any]) -> Any:
            return inputs

        def predict(self, x: list[Any]) -> list[dict[str, Any]]:
            return does.answers(x)

        def unbatch(self, output: list[dict[str, Any]]) -> list[dict[str, Any]]:
            return output

        def encode_response(self, output: dict[str, Any]) -> dict[str, Any]:
            return output

    api = Api(max_batch_size=TOGETHER, batch_timeout=WAITING, api_path="/score")
    server = ls.LitServer(api, accelerator="cpu")
    server.run(host="127.0.0.1", port=port, generate_client_file=False, log_level="error")


def main() -> None:
    """Serves one peer."""
    name, folder, port = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    framework = name.partition(OURS)[0]
    does = computing(name, folder)
    if framework == "FastAPI":
        fastapi(does.image, port)
    elif framework == "LitServe":
        litserve(does, port)
    elif framework == "waitress":
        waitress(does.image, port)
    elif framework == "waitress, pixels as JSON":
        assert isinstance(does, Eager)
        waitress(does.tensor, port)


if __name__ == "__main__":
    main()
