"""`python -m deployers.scoring --bundle DIR --settings FILE ...`: one model behind HTTP."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import uvicorn
from pydantic import ValidationError

from deployers.scoring import served
from deployers.scoring.app import App
from deployers.scoring.log import line
from deployers.scoring.sampling import Sampler
from deployers.scoring.service import Service
from deployers.scoring.settings import Serving
from deployers.scoring.telemetry import Telemetry
from mlops_spec.errors import MlopsError, StateError

KEY = "SCORING_KEY"  # the variable that holds what clients must send; without it all are let in


def main() -> None:
    """Serves until it is told to end."""
    parser = argparse.ArgumentParser("python -m deployers.scoring", description=__doc__)
    parser.add_argument("--bundle", type=Path, required=True, help="the model")
    parser.add_argument("--int8", type=Path, help="what quantize made of it, for precision int8")
    parser.add_argument("--settings", type=Path, required=True, help="limits and times, as JSON")
    parser.add_argument("--name", default="", help="of the registered model")
    parser.add_argument("--version", default="", help="of the same")
    parser.add_argument("--host", required=True)
    parser.add_argument("--port", type=int, required=True)
    args = parser.parse_args()
    try:
        how = Serving.model_validate_json(args.settings.read_bytes())
        model = served.load(args.bundle, args.name, args.version, how, args.int8)
        telemetry = Telemetry(args.name, args.version)
        sampler = Sampler(how.sampling, model, telemetry.sampled)
    except MlopsError as error:
        parser.exit(int(error.exit_code), f"error: {error}\n")
    except OSError as error:  # of a folder that is mounted, most likely
        cure = "whoever serves must be able to read it: mount another, or chmod -R a+rX this one"
        said = StateError(f"{error.filename} can not be read: {error.strerror}", cure)
        parser.exit(int(said.exit_code), f"error: {said}\n")
    except ValidationError as error:
        wrong = (": ".join([*map(str, each["loc"]), each["msg"]]) for each in error.errors())
        parser.error(f"{args.settings}: {'; '.join(wrong)}")
    line(**model.chosen.document())
    service = Service(model, how, telemetry, sampler)
    uvicorn.run(
        App(service, telemetry, os.environ.pop(KEY, "")).asgi(),
        host=args.host,
        port=args.port,
        access_log=False,
        log_level="warning",
        server_header=False,
        ws="none",
        timeout_graceful_shutdown=int(how.drain_seconds) or 1,
    )


if __name__ == "__main__":
    main()
