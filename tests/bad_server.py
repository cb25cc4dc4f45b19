"""A real server on loopback that can misbehave in every way that servers do."""

import hashlib
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

CONTENT = bytes(range(256)) * 4_000
DIGEST = hashlib.sha256(CONTENT).hexdigest()
OTHER = CONTENT[::-1]
QUERY = "sv=1&sig=5ecret"


class Server:
    """What a server does: everything right, until a test says otherwise."""

    def __init__(self):
        self.content = CONTENT
        self.tags = {"ETag": '"one"'}
        self.cuts = []  # bytes after which the next connections are cut
        self.codes = []  # what the next requests are refused with
        self.understands = {"Range", "If-Range"}
        self.sized = True
        self.asked = []  # the Range header of each request
        self.sent = []  # how many bytes each was answered with
        self.url = ""

    def rest(self, headers):
        """From which byte on a request is answered; None for a refusal."""
        wanted, condition = headers["Range"], headers["If-Range"]
        self.asked.append(wanted)
        tags = [tag for tag in self.tags.values() if not tag.startswith("W/")]
        changed = condition and condition not in tags
        if not wanted or "Range" not in self.understands:
            return 0
        if changed and "If-Range" in self.understands:
            return 0
        start = int(wanted.removeprefix("bytes=").removesuffix("-"))
        return start if start < len(self.content) else None

    def answer(self, handler):
        start = self.rest(handler.headers)
        code = self.codes.pop(0) if self.codes else 416 if start is None else 206 if start else 200
        handler.send_response(code)
        body = self.content[start:] if code in (200, 206) else b""
        self.sent.append(len(body))
        total = len(self.content)
        if code == 206:
            handler.send_header("Content-Range", f"bytes {start}-{total - 1}/{total}")
        if self.sized:
            handler.send_header("Content-Length", str(len(body)))
        for name, value in self.tags.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(body[: self.cuts.pop(0)] if body and self.cuts else body)


@contextmanager
def serving():
    server = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            server.answer(self)

        def log_message(self, *_words):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        server.url = f"http://127.0.0.1:{listening.server_port}/files/dogs.tar?{QUERY}"
        yield server
        listening.shutdown()
        thread.join()
