"""How a model is served: by which engine, limits and times, the section `serving` of a target."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from deployers.scoring.engines import Precision  # noqa: TC001 - pydantic reads it
from mlops_spec.spec import Float, Int, Section

Count = Annotated[Int, Field(ge=1)]
Seconds = Annotated[Float, Field(gt=0)]


class Sampling(Section):
    """Requests that are kept with their answers: how many, where, and how much at most."""

    share: Annotated[Float, Field(ge=0, le=1)]  # of the requests that are answered; 0: none
    folder: Annotated[str, Field(min_length=1)]
    max_bytes: Count  # of all that is kept
    max_files: Count  # of the same
    min_free: Count  # bytes of the disk
    max_waiting: Count  # bytes of images that wait in memory; what comes then is not kept


class Serving(Section):
    """What one process of the service does at most, and how long it waits for what."""

    engine: Literal["onnxruntime", "openvino", "auto"]  # auto: the fastest of those that are right
    precision: Precision  # what the network is computed in
    golden_tolerance: Annotated[Float, Field(ge=0, le=1)]  # of golden probabilities
    top_k: Count  # most probable classes that an answer lists
    max_bytes: Count  # of a request
    max_pixels: Count  # of an image before it is decoded
    max_images: Count  # of a request
    max_batch: Count  # images that the network is given together
    max_delay: Annotated[Float, Field(ge=0)]  # seconds that an image waits for others on their way
    max_waiting: Count  # images; more are answered with 429
    body_seconds: Seconds  # for a client to send its request
    answer_seconds: Seconds  # from then on
    drain_seconds: Seconds  # for what is being answered when the service is told to end
    sampling: Sampling

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.max_images > self.max_waiting:
            message = f"max_images {self.max_images} is more than max_waiting {self.max_waiting}"
            raise ValueError(f"{message}: such a request would never be let in")
        return self
