"""BentoML, which gives a service of Python an address; images come as files of a form."""

# No `from __future__ import annotations`: BentoML reads them where they are written.
from typing import Any

import bentoml
from _serve_eager import Eager
from PIL import Image


@bentoml.service(threads=4)  # as many as waitress has
class Peer:
    """The network behind an address."""

    def __init__(self) -> None:
        self.does = Eager()

    @bentoml.api(route="/score")
    def score(self, image: Image.Image) -> dict[str, Any]:
        """Answers an image, which BentoML has opened."""
        return self.does.answers([self.does.prepared(image)])[0]
