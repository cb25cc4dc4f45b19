"""The command line of one step, the same on this machine and in a remote job.

python -m trainers VERB --spec spec.json ... --out DIR

`spec.json` is the recorded part of the spec that the step reads. Everything a step makes goes below
`--out`, `summary.json` with its main numbers among it. Neither Hydra nor the Azure SDK is needed,
the latter but to register in a workspace.
"""

from __future__ import annotations

import argparse
import gc
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from filelock import FileLock

from mlops_spec import files, redaction, tracking
from mlops_spec.errors import MlopsError, from_os_error
from mlops_spec.spec import note_reads, unread
from mlops_spec.step_spec import read_step_spec
from trainers import _leaving
from trainers._promotion import promote
from trainers._verbs import VERBS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trainers._verbs import Summary

_VERBS = {**VERBS, "promote": promote}
_INTERRUPTED = 130
_COLLECTED = (50_000, 20, 20)  # Python's 700 costs a sixth of importing torch, whose objects stay
_PAGES = ("report.html", "model_card.md")
_INPUTS = (
    *("data", "weights", "bundle", "evaluation", "champion", "benchmark", "gate", "report"),
    *("database", "models"),
)


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m trainers", description=__doc__, allow_abbrev=False)
    parser.add_argument("verb", choices=_VERBS)
    parser.add_argument("--spec", type=Path, required=True, help="the recorded spec of the step")
    parser.add_argument(
        "--out", type=Path, required=True, help="folder for all that the step makes"
    )
    for name in _INPUTS:
        parser.add_argument(f"--{name}", type=Path, help=f"input: {name}")
    parser.add_argument(
        "--registry", default="", help="workspace to register in, instead of --database"
    )
    parser.add_argument("--weights-digest", help="digest of the weights")
    parser.add_argument("--source", help="digest of what the data set is read from")
    parser.add_argument(
        "--collect", action="store_true", help="copy the images beside the manifest"
    )
    parser.add_argument("--model", help="name of the registered model")
    parser.add_argument("--build", help="id of the build that started this, or none")
    parser.add_argument("--build-address", help="address of the build, or none")
    parser.add_argument("--train", help="key of the training step")
    parser.add_argument(
        "--baseline", type=int, default=0, help="version judged against; 0 for none"
    )
    parser.add_argument("--keep", type=int, default=0, help="version that stays champion")
    return parser.parse_args(argv)


def main(argv: Sequence[str]) -> int:
    """Runs one step; 0 when it is done."""
    args = _parse(argv)
    _leaving.listen()
    _leave_with_parent()
    try:
        args.out.mkdir(parents=True, exist_ok=True)
        if _follows():
            _VERBS[args.verb](read_step_spec(args.spec), args)
            return 0
        # An earlier process that lost its parent may still be leaving the same folder.
        with FileLock(f"{args.out}.lock", timeout=30):
            spec = read_step_spec(args.spec)
            note_reads()
            summary = _VERBS[args.verb](spec, args)
            document = {**vars(summary), "unread": list(unread(spec))}
            files.write_json(args.out / "summary.json", document)
            if args.verb != "train":  # which tracks while it trains
                _tell_job(args.out, summary)
    except MlopsError as error:
        return _fail(error)
    except OSError as error:
        known = from_os_error(error)
        if known is None:
            raise
        return _fail(known)
    except KeyboardInterrupt:
        return _INTERRUPTED
    return 0


def _tell_job(out: Path, summary: Summary) -> None:
    pages = [path for name in _PAGES for path in out.glob(f"**/{name}")]
    wrong = tracking.tell_job(summary.metrics, pages)
    if wrong:
        print(f"not tracked: {redaction.redact(wrong)}", flush=True)  # noqa: T201 - the job's log


def _follows() -> bool:
    """Whether this is one of several processes of a step, and not the one that writes.

    `RANK` is set by Azure ML and torchrun, `LOCAL_RANK` by Lightning for those that it starts.
    """
    return os.environ.get("RANK", os.environ.get("LOCAL_RANK", "0")) != "0"


def _fail(error: MlopsError) -> int:
    print(f"error: {error}", file=sys.stderr, flush=True)  # noqa: T201 - the engine reads it
    return int(error.exit_code)


def _leave_with_parent() -> None:
    """Stops when the engine that started this process is gone: killed, it can tell nobody."""
    parent = os.environ.get("MLOPS_SPEC_PARENT", "")
    os.environ["MLOPS_SPEC_PARENT"] = str(os.getpid())  # of the processes that this one starts
    if not parent:
        return

    def watch() -> None:
        while os.getppid() == int(parent):
            time.sleep(0.5)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()


def leave(code: int) -> NoReturn:
    """Ends the process, an interrupted one at once.

    Connections to other processes may be in the middle of something then, and would abort it.
    """
    if code == _INTERRUPTED:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    gc.freeze()  # or the interpreter's last collections walk all that torch has made, for seconds
    sys.exit(code)


if __name__ == "__main__":
    gc.set_threshold(*_COLLECTED)
    leave(main(sys.argv[1:]))
