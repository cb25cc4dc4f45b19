"""What the page is told: everything of the section `frontend` but where it is."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from mlops_spec.spec import Float, Fraction, Int, Section

Count = Annotated[Int, Field(ge=1)]


class Address(Section):
    """The service that the page asks."""

    url: str
    seconds: Annotated[Float, Field(gt=0)]  # to wait for an answer


class Scoring(Address):
    """The same with the name of its key, which the program itself gets by its environment."""

    key: str | None


class Limits(Section):
    """What one client, and all of them together, may ask for."""

    files: Count  # pictures at a time
    file_bytes: Count  # of a picture
    request_bytes: Count  # of all pictures of a form
    per_minute: Count  # pictures and pages of one client
    connections: Count
    threads: Count


class Settings(Section):
    """Of the program."""

    title: str
    top_k: Count
    unsure: Fraction
    scoring: Address
    limits: Limits
    proxies: Annotated[Int, Field(ge=0)]
