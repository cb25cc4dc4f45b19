"""`python -m mlops_spec`."""

import signal
import sys

from mlops_spec.cli import main


def entry() -> int:
    """Runs the command line; a polite end from outside is treated as Ctrl-C."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    return int(main(sys.argv[1:]))


if __name__ == "__main__":
    sys.exit(entry())
