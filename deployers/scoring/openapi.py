"""The contract as OpenAPI describes it, and a page about it that needs nothing from elsewhere."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from deployers.scoring.settings import Serving

_REFUSALS = {
    "400": "the request is not what is described here",
    "401": "the key is missing or wrong",
    "408": "the request was sent too slowly",
    "413": "too many bytes, pixels or images",
    "415": "no image of a known format",
    "422": "a damaged image",
    "429": "too many images wait; try again after `Retry-After` seconds",
    "500": "the model could not answer",
    "503": "not ready yet",
    "504": "no answer in time",
}
_BINARY = {"schema": {"type": "string", "format": "binary"}}
_LISTED = {
    "type": "object",
    "required": ["label", "probability"],
    "properties": {"label": {"type": "string"}, "probability": {"type": "number"}},
}
_PREDICTION = {
    "type": "object",
    "required": ["top"],
    "properties": {
        "label": {"type": "string", "description": "the most probable class"},
        "probability": {"type": "number", "description": "how probable it is, calibrated"},
        "labels": {
            "type": "array",
            "items": {"type": "string"},
            "description": "in place of both, where an image may have several labels",
        },
        "top": {"type": "array", "items": _LISTED, "description": "the most probable first"},
    },
}
_ANSWER = {
    "type": "object",
    "required": ["model", "predictions"],
    "properties": {
        "model": {
            "type": "object",
            "properties": {name: {"type": "string"} for name in ("name", "version", "digest")},
        },
        "predictions": {"type": "array", "items": _PREDICTION, "description": "in order"},
    },
}
_BASE64 = {"type": "string", "contentEncoding": "base64"}
_JSON = {
    "oneOf": [
        {"type": "object", "required": ["image"], "properties": {"image": _BASE64}},
        {
            "type": "object",
            "required": ["images"],
            "properties": {"images": {"type": "array", "items": _BASE64}},
        },
        {
            "type": "object",
            "required": ["data"],
            "properties": {
                "data": {
                    "type": "array",
                    "description": "(images, channels, size, size): (brightness/255 - mean) / std",
                },
                "mean": {"description": "what was subtracted; without it the model's own"},
                "std": {"description": "what it was divided by; without it the model's own"},
            },
        },
    ]
}


def document(how: Serving) -> dict[str, Any]:
    """OpenAPI 3.1 of a service with these limits."""
    limits = (
        f"At most {how.max_images} images, {how.max_bytes} bytes, {how.max_pixels} pixels each."
    )
    score = {
        "summary": "What images show",
        "description": limits,
        "parameters": [
            {
                "name": "top",
                "in": "query",
                "schema": {"type": "integer", "minimum": 0, "default": how.top_k},
                "description": "classes that are listed; 0 for all",
            }
        ],
        "requestBody": {
            "required": True,
            "content": {
                "image/*": _BINARY,
                "application/octet-stream": _BINARY,
                "multipart/form-data": {"schema": {"type": "object"}},
                "application/json": {"schema": _JSON},
            },
        },
        "responses": {
            "200": {
                "description": "what each image shows, in order",
                "content": {"application/json": {"schema": _ANSWER}},
            },
            **{status: {"description": why} for status, why in _REFUSALS.items()},
        },
    }
    others = {
        "/healthz": "the process lives, and what it serves",
        "/readyz": "200 once it answers, 503 before",
        "/metrics": "numbers for Prometheus",
        "/model": "the model's card",
    }
    gets = {
        path: {"get": {"summary": text, "responses": {"200": {"description": text}}}}
        for path, text in others.items()
    }
    return {
        "openapi": "3.1.0",
        "info": {"title": "Image classification", "version": "1"},
        "paths": {"/score": {"post": score}, **gets},
    }


def page(how: Serving) -> str:
    """The contract for people."""
    known = document(how)
    rows = "".join(f"<tr><td>{status}<td>{html.escape(text)}" for status, text in _REFUSALS.items())
    gets = "".join(
        f"<li><a href='{path}'><code>GET {path}</code></a> {html.escape(item['get']['summary'])}"
        for path, item in known["paths"].items()
        if "get" in item
    )
    limits = known["paths"]["/score"]["post"]["description"]
    return _PAGE.format(limits=html.escape(limits), rows=rows, gets=gets, top=how.top_k)


_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Scoring service</title>
<style>
:root {{ color-scheme: light dark }}
body {{ font: 1rem/1.5 system-ui, sans-serif; max-width: 46rem }}
body {{ margin: 2rem auto; padding: 0 1rem }}
pre {{ overflow-x: auto; padding: .8rem; border: 1px solid; border-radius: .4rem }}
td {{ padding: .1rem 1rem .1rem 0; vertical-align: top }}
</style>
<main>
<h1>Scoring service</h1>
<p><code>POST /score</code> with an image, a form of images, or JSON. {limits}</p>
<pre tabindex="0">curl --data-binary @photo.jpg -H "Content-Type: image/jpeg" ADDRESS/score
curl -F one=@first.jpg -F two=@second.jpg ADDRESS/score
curl --json '{{"images": ["BASE64", "BASE64"]}}' "ADDRESS/score?top={top}"</pre>
<p>The answer lists what each image shows, in order, with calibrated probabilities.</p>
<table><tr><th>no<th>means{rows}</table>
<ul>{gets}
<li><a href="/openapi.json"><code>GET /openapi.json</code></a> this contract for programs
</ul>
</main>
</html>
"""
