"""Base images of Azure ML that are retired; the list is `images.yaml`, with its date and source."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

import yaml

_LIST = Path(__file__).with_suffix(".yaml")
_IMAGE = re.compile(r"mcr\.microsoft\.com/azureml/(?:base(?:-gpu)?:)?([\w.-]+)(?::.*)?")


@cache
def _listed() -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load(_LIST.read_text("utf-8"))
    return document


def retired(image: str) -> str:
    """Since when an image gets no new versions; empty of one that may get some, or of others."""
    match = _IMAGE.fullmatch(image)
    gone = _listed()["retired"].items() if match else ()
    return next((str(day) for form, day in gone if match and re.fullmatch(form, match[1])), "")


def instead(image: str) -> str:
    """One of the same kind that is not."""
    listed: dict[str, str] = _listed()["instead"]
    return listed["gpu" if "cuda" in image else "cpu"]
