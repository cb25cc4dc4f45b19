"""`python -m deployers.frontends._page --settings FILE ...`: the page as a process."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import waitress
from pydantic import ValidationError

from deployers.frontends._page import log
from deployers.frontends._page.app import create
from deployers.frontends._page.settings import Settings

if TYPE_CHECKING:
    from typing import Any

KEY = "SCORING_KEY"  # the variable that holds what the scoring service asks for


def main() -> None:
    """Answers until it is told to end."""
    parser = argparse.ArgumentParser("python -m deployers.frontends._page", description=__doc__)
    parser.add_argument("--settings", type=Path, required=True, help="what is in YAML, as JSON")
    parser.add_argument("--host", required=True)
    parser.add_argument("--port", type=int, required=True)
    args = parser.parse_args()
    try:
        settings = Settings.model_validate_json(args.settings.read_bytes())
    except ValidationError as error:
        wrong = (f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        parser.error(f"{args.settings}: {'; '.join(wrong)}")
    log.listen()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # after what is being answered
    app = create(settings, os.environ.pop(KEY, ""))
    waitress.serve(app, host=args.host, port=args.port, **_options(settings))


def _options(settings: Settings) -> dict[str, Any]:
    """How waitress serves: nothing on disk, no more than the limits, and silent about itself."""
    limits = settings.limits
    body = 2 * limits.request_bytes  # up to here the page itself says that it is too much
    behind = {
        "trusted_proxy": "*",
        "trusted_proxy_count": settings.proxies,
        "trusted_proxy_headers": "x-forwarded-for x-forwarded-proto x-forwarded-host",
        "clear_untrusted_proxy_headers": True,
    }
    return {
        "threads": limits.threads,
        "connection_limit": limits.connections,
        "max_request_body_size": body,
        "inbuf_overflow": body + 1,  # what is longer would be put into a file
        "ident": None,
        **(behind if settings.proxies else {}),
    }


if __name__ == "__main__":
    main()
