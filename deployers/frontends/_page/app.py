"""The addresses of the page.

GET  /               the page: a form, and what the model is
POST /               pictures -> the page with an answer to each, in order
GET  /healthz        the process lives, and what it was told
GET  /assets/NAME    style, script, icon

A script that sends `X-Fragment` gets the answers alone, and a picture that is refused is one of
them. What is wrong with a whole request is a page of its own, or JSON for who asks for it.
"""

from __future__ import annotations

import os
import secrets
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING

from flask import Flask, Response, g, jsonify, render_template, request, send_from_directory
from werkzeug.exceptions import HTTPException

from deployers.frontends._page import assets, guard, words
from deployers.frontends._page.client import Prediction, Service, Trouble
from deployers.frontends._page.log import line
from mlops_spec import files

if TYPE_CHECKING:
    from werkzeug.datastructures import FileStorage

    from deployers.frontends._page.client import Model
    from deployers.frontends._page.settings import Settings

_FORM_BYTES = 2**16  # of a form beside its files
_WEEK = 7 * 24 * 3600  # seconds
_MENDED = "Open the page again. If that does not help, its log tells more."


@dataclass(frozen=True)
class Answered:
    """A picture's file name, and what it shows or why nobody knows."""

    name: str
    said: Prediction | None = None
    trouble: Trouble | None = None


def create(settings: Settings, key: str) -> Flask:
    """The page as a WSGI application.

    Args:
        settings: Of the program.
        key: Of the scoring service; empty where it asks for none.
    """
    app = Flask(__name__, static_folder=None, template_folder=assets.FOLDER)
    page = Page(settings, key)
    app.request_class, app.session_interface = guard.InMemory, guard.Sessions()
    app.secret_key = secrets.token_bytes()  # a token is good until this process ends
    app.config.update(
        MAX_CONTENT_LENGTH=settings.limits.request_bytes + _FORM_BYTES,
        MAX_FORM_MEMORY_SIZE=_FORM_BYTES,
        MAX_FORM_PARTS=settings.limits.files + 8,  # one more than allowed is told kindly
        SESSION_COOKIE_SAMESITE="Strict",
    )
    app.jinja_env.globals.update(settings=settings, words=words, version=assets.version())
    app.before_request(_begin)
    app.after_request(guard.add_headers)
    app.after_request(_end)
    app.get("/")(page.shown)
    app.post("/")(page.answered)
    app.get("/healthz")(page.healthy)
    app.get("/assets/<name>")(_asset)
    app.register_error_handler(Exception, _failed)
    return app


class Page:
    """What the addresses do.

    Args:
        settings: Of the program.
        key: Of the scoring service.
    """

    def __init__(self, settings: Settings, key: str) -> None:
        self._settings, self._limits = settings, settings.limits
        self._service = Service(settings.scoring, key)
        self._window = guard.Window(self._limits.per_minute)
        self._asking = ThreadPoolExecutor(self._limits.threads, "asking")

    def shown(self) -> str:
        """The page before anything was asked."""
        self._window.take(guard.client(), 1)
        return self._whole([])

    def answered(self) -> tuple[str, int]:
        """The answers to the pictures of a form: alone, or within the page."""
        guard.check_token()
        pictures = [file for file in request.files.getlist("picture") if file.filename]
        self._check_count(len(pictures))
        self._window.take(guard.client(), len(pictures))
        name = g.name
        found = [*self._asking.map(lambda picture: self._answer(picture, name), pictures)]
        g.pictures = sum(each.said is not None for each in found)
        if "X-Fragment" in request.headers:
            return render_template("answers.html", answers=found), 200
        worst = max(each.trouble.status if each.trouble else 200 for each in found)
        return self._whole(found), 200 if g.pictures else worst

    def healthy(self) -> Response:
        """Which process this is, and the digest of its settings."""
        settings = files.sha256_of(self._settings.model_dump(mode="json"))
        return jsonify(pid=os.getpid(), settings=settings)

    def _check_count(self, count: int) -> None:
        if not count:
            raise Trouble(HTTPStatus.BAD_REQUEST, "No picture was chosen.", "Choose one, or more.")
        if count > self._limits.files:
            message = f"{count} pictures are more than {self._limits.files} at a time."
            raise Trouble(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, message, "Send them in parts.")

    def _answer(self, picture: FileStorage, request_name: str) -> Answered:
        name, content = str(picture.filename), picture.read()
        try:
            self._check_size(len(content))
            said = self._service.answer(content, self._settings.top_k, request_name)
            return Answered(name, said)
        except Trouble as trouble:
            return Answered(name, trouble=trouble)

    def _check_size(self, count: int) -> None:
        if not count:
            raise Trouble(HTTPStatus.BAD_REQUEST, "The file is empty.", "Choose another picture.")
        if count > self._limits.file_bytes:
            raise _too_large(f"The file has {words.megabytes(count)}.", self._limits.file_bytes)

    def _whole(self, found: list[Answered]) -> str:
        model: Model | Trouble
        try:
            model = self._service.model()
        except Trouble as trouble:
            model = trouble
        large = _too_large("The file is too large.", self._limits.file_bytes)
        known = {"answers": found, "token": guard.token(), "model": model, "large": large}
        return render_template("page.html", down=isinstance(model, Trouble), **known)


def _too_large(message: str, most: int) -> Trouble:
    cure = f"Choose a picture of at most {words.megabytes(most)}."
    return Trouble(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, message, cure)


def _asset(name: str) -> Response:
    if name not in assets.FILES:
        raise Trouble(HTTPStatus.NOT_FOUND, "There is no such file.", "Open the page again.")
    return send_from_directory(assets.FOLDER, name, max_age=_WEEK)


def _begin() -> None:
    g.name, g.start, g.pictures = uuid.uuid4().hex, time.perf_counter(), 0


def _end(response: Response) -> Response:
    ms = round((time.perf_counter() - g.start) * 1000, 1)
    known = {"method": request.method, "path": str(request.url_rule or ""), "ms": ms}
    line(request=g.name, status=response.status_code, pictures=g.pictures, **known)
    response.headers["X-Request-Id"] = g.name
    return response


def _failed(error: Exception) -> Response:
    """What is wrong with a request, as whoever sent it can read it."""
    trouble = error if isinstance(error, Trouble) else _of_library(error)
    if request.accept_mimetypes.best == "application/json":
        response = jsonify(error=trouble.message, cure=trouble.cure)
    else:
        page = "trouble.html" if "X-Fragment" in request.headers else "error.html"
        response = Response(render_template(page, trouble=trouble))
    response.status_code = trouble.status
    if trouble.retry_after is not None:
        response.headers["Retry-After"] = str(trouble.retry_after)
    return response


def _of_library(error: Exception) -> Trouble:
    """What Flask refuses, and what should not have happened, in words."""
    if not isinstance(error, HTTPException) or not error.code:
        line(level="error", request=g.name, error=f"{type(error).__name__}: {error}")
        return Trouble(HTTPStatus.INTERNAL_SERVER_ERROR, "Something is wrong here.", _MENDED)
    if error.code == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        return Trouble(error.code, "That is too much at once.", "Send fewer or smaller pictures.")
    if error.code == HTTPStatus.NOT_FOUND:
        return Trouble(error.code, "There is no such page.", "Open the first one.")
    return Trouble(error.code, f"{error.name}.", _MENDED)
