"""The service as people write it themselves, by frameworks of Python; one file for each of others.

python bench/_serve_peers.py NAME BUNDLE PORT
"""

# No `from __future__ import annotations`: FastAPI reads them where they are written.
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

from _serve_eager import OURS, Eager, computing, here

Answer = Callable[[bytes], dict[str, Any]]


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


def main() -> None:
    """Serves one peer."""
    name, folder, port = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    framework = name.partition(OURS)[0]
    does = computing(name, folder)
    if framework == "FastAPI":
        fastapi(does.image, port)
    elif framework == "waitress":
        waitress(does.image, port)
    elif framework == "waitress, pixels as JSON":
        assert isinstance(does, Eager)
        waitress(does.tensor, port)


if __name__ == "__main__":
    main()
