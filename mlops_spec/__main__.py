"""`python -m mlops_spec`."""

import gc
import io
import os
import signal
import sys
from pathlib import Path

from mlops_spec.cli import main
from mlops_spec.errors import ExitCode


def entry() -> int:
    """Runs the command line; a polite end from outside is treated as Ctrl-C."""
    for polite in (signal.SIGINT, signal.SIGTERM):  # a shell's background job ignores the first
        signal.signal(polite, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # who works under nohup goes on
        signal.signal(signal.SIGHUP, signal.default_int_handler)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # closed by the caller
            setattr(sys, name, Path(os.devnull).open("w"))  # noqa: SIM115 - open to the end
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a mark that a terminal lacks is no failure
    try:
        code = int(main(sys.argv[1:]))
        sys.stdout.flush()
    except BrokenPipeError:  # `... | head` has seen enough; nothing may be said at exit either
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return int(ExitCode.INTERRUPTED)  # a run was stopped by it
    gc.freeze()  # what is left need not be walked once more at the end
    return code


if __name__ == "__main__":
    sys.exit(entry())
