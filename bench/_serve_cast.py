"""Who is measured: how each server is started, and what it is sent."""

from __future__ import annotations

import base64
import io
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import numpy as np
import yaml
from _common import ROOT
from _serve_eager import OURS, SIZE, engine
from _serve_sides import HERE, Asked, Side, free_port, started
from PIL import Image

from deployers.scoring import engines, quantize
from deployers.scoring.engines import Precision
from mlops_spec.errors import MlopsError

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlops_spec.manifest import Dataset

ORIGIN = "pixels as JSON"
HERE_TOO = ("FastAPI", "waitress", f"waitress, {ORIGIN}")  # in the project's own environment
ENVIRONMENTS = {  # of the others: packages, whose programs are asked for; `make bench-peers`
    "LitServe": ".venv-peers",
    "BentoML": ".venv-peers",
    "gunicorn": ".venv-peers",
    "MLflow": ".venv-peers-mlflow",
    "Azure ML": ".venv-peers-azureml",
    f"Azure ML, {ORIGIN}": ".venv-peers-azureml",
}
BOUNDARY = "----------------------bench"


@dataclass(frozen=True)
class Stage:
    """Where files of this run lie, and who was left out for what reason."""

    folder: Path
    bundle: Path
    left_out: dict[str, str]


def requests(folder: Path) -> dict[str, Asked]:
    """A JPEG file of 500 x 375 as it is, in the clothes that peers want, and as normalised pixels.

    Returns:
        What to send by peer; by "" for those that take the file.
    """
    chance = np.random.default_rng(0)
    coarse = Image.fromarray(chance.integers(0, 255, (15, 20, 3)).astype(np.uint8))
    buffer = io.BytesIO()
    coarse.resize((500, 375), Image.Resampling.BICUBIC).save(buffer, "JPEG")
    jpeg = buffer.getvalue()
    text = base64.b64encode(jpeg).decode()
    array = chance.normal(size=(1, 3, SIZE, SIZE)).astype(np.float32)
    part = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="image"; filename="photo.jpg"\r\n'
    part += "Content-Type: image/jpeg\r\n\r\n"
    table = {"dataframe_split": {"columns": ["image"], "data": [[text]]}}
    contents = {
        "photo.jpg": jpeg,
        "form": part.encode() + jpeg + f"\r\n--{BOUNDARY}--\r\n".encode(),
        "base64.json": json.dumps({"image": text}).encode(),
        "table.json": json.dumps(table).encode(),
        "pixels.json": json.dumps({"data": array.tolist()}).encode(),
    }
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    pixels = Asked(folder / "pixels.json", "application/json")
    return {
        "": Asked(folder / "photo.jpg", "image/jpeg"),
        "LitServe": Asked(folder / "base64.json", "application/json"),
        "BentoML": Asked(folder / "form", f"multipart/form-data; boundary={BOUNDARY}"),
        "MLflow": Asked(folder / "table.json", "application/json", "/invocations"),
        f"waitress, {ORIGIN}": pixels,
        f"Azure ML, {ORIGIN}": pixels,
    }


def precisions(stage: Stage, data: Dataset) -> list[Precision]:
    """What can be computed in here; the int8 network is made, of any accuracy."""
    found: list[Precision] = []
    for precision in get_args(Precision):
        try:
            engines.named(engine()).demand(precision)
        except MlopsError as error:
            stage.left_out[f"ours {precision}"] = error.message
        else:
            found.append(precision)
    words = ["--bundle", str(stage.bundle), "--data", str(data.root), "--out", str(stage.bundle)]
    words += ["--max-drop", "1", "--images", "32", "--batch", "16"]  # weights are random
    done = subprocess.run(
        [sys.executable, "-m", quantize.__name__, *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(done.stderr)
    return found


def ours(precision: Precision, stage: Stage, asked: Asked) -> Side:
    """Our service in one precision."""
    settings, port = stage.folder / f"{precision}.json", free_port()
    local = yaml.safe_load((ROOT / "conf" / "target" / "local.yaml").read_text("utf-8"))
    how = {**local["serving"], "engine": engine(), "precision": precision}
    settings.write_text(json.dumps(how), "utf-8")
    words = [sys.executable, "-m", "deployers.scoring", "--bundle", str(stage.bundle)]
    words += ["--int8", str(stage.bundle), "--settings", str(settings)]
    words += ["--host", "127.0.0.1", "--port", str(port)]
    return started(f"ours {precision}", words, port, asked)


def peer(name: str, stage: Stage, asked: Asked) -> Side | None:
    """A peer, or nothing where it is not installed."""
    port, framework = free_port(), name.partition(OURS)[0]
    environment = ENVIRONMENTS.get(framework)
    programs = ROOT / environment / "bin" if environment else Path(sys.executable).parent
    if not programs.is_dir():
        stage.left_out[name] = f"there is no {environment}; `make bench-peers` makes it"
        return None
    words = _WORDS.get(framework, _ours_own)(programs, name, stage, port)
    extra = {
        "PEER": name,
        "BUNDLE": str(stage.bundle),
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(HERE)]),
        "PATH": os.pathsep.join([str(programs), os.environ["PATH"]]),
        "HOME": str(stage.folder),  # where some leave what they like
        "BENTOML_DO_NOT_TRACK": "True",
        "MLFLOW_TRACKING_URI": (stage.folder / "mlflow").as_uri(),
        **({"OMP_NUM_THREADS": "1"} if framework == "gunicorn" else {}),
    }
    return started(name, words, port, asked, extra)


def _ours_own(programs: Path, name: str, stage: Stage, port: int) -> list[str]:
    return [
        str(programs / "python"),
        str(HERE / "_serve_peers.py"),
        name,
        str(stage.bundle),
        str(port),
    ]


def _litserve(programs: Path, _name: str, _stage: Stage, port: int) -> list[str]:
    return [str(programs / "python"), str(HERE / "_serve_litserve.py"), str(port)]


def _bentoml(programs: Path, _name: str, _stage: Stage, port: int) -> list[str]:
    words = [str(programs / "bentoml"), "serve", "_serve_bentoml:Peer"]
    return [*words, "--working-dir", str(HERE), "--host", "127.0.0.1", "--port", str(port)]


def _gunicorn(programs: Path, _name: str, _stage: Stage, port: int) -> list[str]:
    words = [str(programs / "gunicorn"), "--workers", "2", "--threads", "2"]
    words += ["--timeout", "600"]  # or it ends workers that wait for their turn
    return [*words, "--bind", f"127.0.0.1:{port}", "_serve_peers:wsgi()"]


def _mlflow(programs: Path, _name: str, stage: Stage, port: int) -> list[str]:
    model = stage.folder / "mlflow-model"
    words = [str(programs / "python"), str(HERE / "_serve_mlflow.py"), str(model)]
    path = os.pathsep.join([str(ROOT), str(HERE)])
    subprocess.run(
        words, cwd=ROOT, env={**os.environ, "PYTHONPATH": path}, capture_output=True, check=True
    )
    words = [str(programs / "mlflow"), "models", "serve", "--model-uri", str(model)]
    return [*words, "--env-manager", "local", "--host", "127.0.0.1", "--port", str(port)]


def _azureml(programs: Path, _name: str, _stage: Stage, port: int) -> list[str]:
    script = str(HERE / "_serve_azureml.py")
    words = [str(programs / "azmlinfsrv"), "--entry_script", script, "--port", str(port)]
    return [*words, "--health_port", str(free_port())]


_WORDS: dict[str, Callable[[Path, str, Stage, int], list[str]]] = {
    "LitServe": _litserve,
    "BentoML": _bentoml,
    "gunicorn": _gunicorn,
    "MLflow": _mlflow,
    "Azure ML": _azureml,
    f"Azure ML, {ORIGIN}": _azureml,
}
