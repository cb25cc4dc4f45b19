"""A model of MLflow's kind pyfunc; images come as base64 in JSON.

python bench/_serve_mlflow.py FOLDER    # writes it there, for `mlflow models serve`
"""

from __future__ import annotations

import base64
import sys
from typing import Any

import mlflow
from _serve_eager import Eager


class Peer(mlflow.pyfunc.PythonModel):  # type: ignore[misc]
    """The network as MLflow asks it."""

    def load_context(self, context: Any) -> None:
        """Builds the network in the server's process."""
        del context
        self.does = Eager()

    def predict(self, context: Any, model_input: Any, params: Any = None) -> list[dict[str, Any]]:
        """Answers the images of a request together."""
        del context, params
        files = [base64.b64decode(text) for text in model_input["image"]]
        return self.does.answers([self.does.picture(file) for file in files])


if __name__ == "__main__":
    mlflow.pyfunc.save_model(sys.argv[1], python_model=__file__, pip_requirements=[])
else:
    mlflow.models.set_model(Peer())
