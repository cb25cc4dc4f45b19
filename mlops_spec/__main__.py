"""`python -m mlops_spec`."""

import signal
import sys

from mlops_spec.cli import main


def entry() -> int:
    """Runs the command line; a polite end from outside is treated as Ctrl-C."""
    for polite in (signal.SIGINT, signal.SIGTERM):  # a shell's background job ignores the first
        signal.signal(polite, signal.default_int_handler)
    return int(main(sys.argv[1:]))


if __name__ == "__main__":
    sys.exit(entry())
