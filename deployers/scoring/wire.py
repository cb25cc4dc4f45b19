"""What a request may look like, and what it is answered.

image/jpeg, image/png, ...      the bytes of one image
multipart/form-data             one image a part, in order
application/json                {"image": BASE64} or {"images": [BASE64, ...]}, or
                                {"data": NUMBERS, "mean": ..., "std": ...}: normalised pixels
"""

from __future__ import annotations

import base64
import binascii
import json
from typing import TYPE_CHECKING, Any

import numpy as np
from python_multipart import multipart
from python_multipart.exceptions import FormParserError

from deployers.scoring import pictures
from deployers.scoring.refusal import bad, too_large
from mlops_spec import bundle

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlops_spec.card import Card, Preprocessing

_KEYS = ("image", "images", "data")
_FORM, _JSON = "multipart/form-data", "application/json"


def takes_reading(content_type: str) -> bool:
    """Whether the images of a request must be read out of a text, which takes a while."""
    return _kind(content_type) in {_FORM, _JSON}


def _kind(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()


def images_of(
    content_type: str, body: bytes, most: int, how: Preprocessing
) -> list[bytes] | np.ndarray:
    """The images of a request, in order: files, or what the network takes (N, H, W, C).

    Args:
        content_type: The header, or nothing.
        body: The request.
        most: Images of a request.
        how: The network's preprocessing, which normalised pixels are read by.

    Raises:
        Refusal: The request is not what the contract says.
    """
    if not body:
        raise bad("an empty request: send an image")
    kind = _kind(content_type)
    if kind == _FORM:
        found: list[bytes] | np.ndarray = _parts(content_type, body, most)
    elif kind == _JSON:
        found = _of_json(body, most, how)
    else:
        found = [body]
    if len(found) == 0:
        raise bad("a request without an image")
    _count(len(found), most)
    return found


def _count(images: int, most: int) -> None:
    if images > most:
        raise too_large(f"{images} images, and a request may have {most}")


def _parts(content_type: str, body: bytes, most: int) -> list[bytes]:
    """The files of a form, which stay in memory; no more of them are read than one too many."""
    files: list[multipart.File] = []

    def found(file: multipart.File) -> None:
        files.append(file)
        if len(files) > most:
            raise too_large(f"more than {most} images")

    headers = {"Content-Type": content_type.encode()}
    try:
        parser = multipart.create_form_parser(
            headers,
            None,
            found,
            config={"MAX_MEMORY_FILE_SIZE": len(body)},
        )
        parser.write(body)
        parser.finalize()
    except (FormParserError, ValueError) as error:
        raise bad(f"a form that can not be read: {error}") from error
    contents = []
    for file in files:
        file.file_object.seek(0)
        contents.append(file.file_object.read())
        file.close()
    return contents


def _of_json(body: bytes, most: int, how: Preprocessing) -> list[bytes] | np.ndarray:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise bad("the body is no JSON") from error
    if not isinstance(document, dict) or sum(key in document for key in _KEYS) != 1:
        raise bad('JSON with one of "image", "images" (base64) and "data" (normalised pixels)')
    if "data" in document:
        return pictures.of_tensor(document["data"], how, document.get("mean"), document.get("std"))
    given = document.get("images", [document.get("image")])
    if not isinstance(given, list):
        raise bad('"images" is no list')
    _count(len(given), most)
    return [_decoded(text, number) for number, text in enumerate(given, 1)]


def _decoded(text: object, number: int) -> bytes:
    """The bytes that base64 stands for; a data URL's beginning is passed over."""
    if not isinstance(text, str):
        raise bad(f"image {number} is no text")
    try:
        return base64.b64decode(text.partition("base64,")[2] or text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise bad(f"image {number} is no base64") from error


def answer(card: Card, probabilities: np.ndarray, most: int) -> list[dict[str, Any]]:
    """What is said of each image, in order.

    Args:
        card: The model's.
        probabilities: (N, classes).
        most: Classes that are listed, the most probable ones.

    Returns:
        Of one label: label, probability, top. Of several: labels, top.
    """
    return [_said(card, row, most) for row in probabilities]


def _said(card: Card, row: np.ndarray, most: int) -> dict[str, Any]:
    order: Sequence[int] = np.argsort(-row, kind="stable")[:most].tolist()
    best = [{"label": card.labels[i], "probability": float(row[i])} for i in order]
    if card.activation == "sigmoid":
        return {"labels": bundle.answered(card.labels, row), "top": best}
    return {**best[0], "top": best}


def top(text: str | None, default: int) -> int:
    """How many classes an answer lists, as the address says; 0 asks for all.

    Raises:
        Refusal: It is no number.
    """
    if text is None:
        return default
    if not text.isdecimal() or len(text) > 9:  # noqa: PLR2004 - digits of any number of classes
        raise bad("top is how many classes to list, 0 for all")
    return int(text) or 10**9
