"""The service as people write it themselves: a framework, eager PyTorch in float32, and Pillow.

python bench/_serve_peers.py NAME BUNDLE PORT
"""

# No `from __future__ import annotations`: FastAPI reads them where they are written.
import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import numpy as np

SIZE, RESIZE = 224, 256


class Eager:
    """ResNet-18 in PyTorch, on the image as torchvision prepares it."""

    def __init__(self) -> None:
        import torch

        from trainers._torch.vision import torchvision

        self.torch = torch
        self.network = torchvision.models.resnet18(num_classes=10).eval()
        t = torchvision.transforms
        steps = [t.Resize(RESIZE), t.CenterCrop(SIZE), t.ToTensor()]
        self.prepare = t.Compose([*steps, t.Normalize([0.5] * 3, [0.25] * 3)])

    def image(self, content: bytes) -> dict[str, Any]:
        """Answers the bytes of an image."""
        from PIL import Image

        picture = self.prepare(Image.open(io.BytesIO(content)).convert("RGB"))
        return self.answer(picture[None])

    def tensor(self, content: bytes) -> dict[str, Any]:
        """Answers pixels that the client sent as JSON, as the script of the origin does."""
        data = np.array(json.loads(content)["data"], np.float32)
        return self.answer(self.torch.from_numpy(data))

    def answer(self, batch: Any) -> dict[str, Any]:
        """Label and probability."""
        with self.torch.no_grad():
            p = self.network(batch).softmax(dim=1)[0]
        best = int(p.argmax())
        return {"label": str(best), "probability": float(p[best])}


def bundled(folder: Path) -> Callable[[bytes], dict[str, Any]]:
    """Our engine and preprocessing, for a peer that is given both."""
    from mlops_spec import bundle

    model = bundle.load(folder)

    def answer(content: bytes) -> dict[str, Any]:
        (p,) = model.probabilities([content])
        best = int(p.argmax())
        return {"label": model.card.labels[best], "probability": float(p[best])}

    return answer


def fastapi(answer: Callable[[bytes], dict[str, Any]], port: int) -> None:
    """FastAPI on uvicorn; a plain function, so that it runs in its pool of threads."""
    import uvicorn
    from fastapi import Body, FastAPI

    app = FastAPI()

    @app.post("/score")
    def score(body: Annotated[bytes, Body(media_type="image/jpeg")]) -> dict[str, Any]:
        return answer(body)

    uvicorn.run(app, host="127.0.0.1", port=port, log_level="error")


def flask_app(answer: Callable[[bytes], dict[str, Any]]) -> Any:
    """A Flask application."""
    import flask

    app = flask.Flask("peer")

    @app.post("/score")
    def score() -> dict[str, Any]:
        return answer(flask.request.get_data())

    return app


def waitress(answer: Callable[[bytes], dict[str, Any]], port: int) -> None:
    """Flask on waitress, with its four threads."""
    import waitress as server

    server.serve(flask_app(answer), host="127.0.0.1", port=port)


def main() -> None:
    """Serves one peer."""
    name, folder, port = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    if name == "fastapi":
        fastapi(Eager().image, port)
    elif name == "fastapi with our engine":
        fastapi(bundled(folder), port)
    elif name == "waitress":
        waitress(Eager().image, port)
    elif name == "waitress with our engine":
        waitress(bundled(folder), port)
    elif name == "pixels as JSON":
        waitress(Eager().tensor, port)


if __name__ == "__main__":
    main()
