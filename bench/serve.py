"""The scoring service against services as people write them: ResNet-18 at 224 from a JPEG file.

python bench/serve.py [ROUNDS]
"""

from __future__ import annotations

import http.client
import io
import json
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

import numpy as np
import yaml
from _common import ROOT, report, rounded
from evaluate import model, photographs
from PIL import Image

from mlops_spec import bundle

HERE = Path(__file__).resolve().parent
CONNECTIONS = (1, 4, 16, 32)
SECONDS, ROUNDS, AT = 1.5, 3, 16
PEERS = ("fastapi", "waitress")
GIVEN = ("fastapi with our engine", "waitress with our engine")
ORIGIN = "pixels as JSON"
TARGETS = {"ours / best peer": 1.9, "ours / best peer with our engine": 1.0}
ONE, TAIL, READY, MEMORY = 1.6, 2.0, 2.0, 400.0


@dataclass
class Side:
    """A server that runs while others take their turns."""

    name: str
    process: subprocess.Popen[bytes]
    url: str
    body: Path
    kind: str
    ready: float

    def load(self, connections: int, seconds: float) -> dict[str, float]:
        """Asks for a while."""
        words = [self.url, str(self.body), self.kind, str(connections), str(seconds)]
        command = [sys.executable, str(HERE / "_serve_load.py"), *words]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        found: dict[str, float] = json.loads(done.stdout)
        if found["failed"]:
            sys.exit(f"{self.name}: {found['failed']} requests failed")
        return found

    def memory(self) -> float:
        """MB in memory."""
        lines = Path(f"/proc/{self.process.pid}/status").read_text("utf-8").splitlines()
        return int(next(x for x in lines if x.startswith("VmRSS")).split()[1]) / 1024


def free_port() -> int:
    """A port at which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def answers(port: int, body: Path, kind: str) -> bool:
    """Whether a server answers a request."""
    line = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        line.request("POST", "/score", body.read_bytes(), {"Content-Type": kind})
        return line.getresponse().status == HTTPStatus.OK
    except OSError:
        return False
    finally:
        line.close()


def started(name: str, words: list[str], port: int, body: Path, kind: str) -> Side:
    """Starts a server and waits until it takes connections, and answers."""
    begin = time.perf_counter()
    process = subprocess.Popen([sys.executable, *words], cwd=ROOT, stdout=subprocess.DEVNULL)
    side = Side(name, process, f"http://127.0.0.1:{port}/score", body, kind, 0.0)
    while process.poll() is None and not answers(port, body, kind):
        time.sleep(0.02)
    side.ready = time.perf_counter() - begin
    return side


def sides(folder: Path, bundle_dir: Path) -> list[Side]:
    """Ours and the peers."""
    jpeg, pixels = folder / "photo.jpg", folder / "pixels.json"
    chance = np.random.default_rng(0)
    coarse = Image.fromarray(chance.integers(0, 255, (15, 20, 3)).astype(np.uint8))
    buffer = io.BytesIO()
    coarse.resize((500, 375), Image.Resampling.BICUBIC).save(buffer, "JPEG")
    jpeg.write_bytes(buffer.getvalue())
    array = chance.normal(size=(1, 3, 224, 224)).astype(np.float32)
    pixels.write_text(json.dumps({"data": array.tolist()}), "utf-8")
    settings = folder / "settings.json"
    local = yaml.safe_load((ROOT / "conf" / "target" / "local.yaml").read_text("utf-8"))
    settings.write_text(json.dumps(local["serving"]), "utf-8")
    port = free_port()
    words = ["-m", "deployers.scoring", "--bundle", str(bundle_dir), "--settings", str(settings)]
    words += ["--host", "127.0.0.1", "--port", str(port)]
    found = [started("ours", words, port, jpeg, "image/jpeg")]
    for name in (*PEERS, *GIVEN, ORIGIN):
        port = free_port()
        words = [str(HERE / "_serve_peers.py"), name, str(bundle_dir), str(port)]
        body, kind = (pixels, "application/json") if name == ORIGIN else (jpeg, "image/jpeg")
        found.append(started(name, words, port, body, kind))
    return found


def bare(bundle_dir: Path, photo: Path) -> float:
    """Milliseconds of the engine alone on one decoded image, the median."""
    one = bundle.load(bundle_dir)
    batch = bundle.pixels(photo, one.card.preprocessing)[None]
    taken = []
    for _ in range(60):
        begin = time.perf_counter()
        one.answer(batch)
        taken.append(time.perf_counter() - begin)
    return statistics.median(taken[10:]) * 1000


def measured(servers: list[Side], rounds: int) -> dict[str, dict[int, dict[str, float]]]:
    """Median numbers of each side at each number of connections, taken in turns."""
    taken: dict[tuple[str, int], list[dict[str, float]]] = {}
    for turn in range(rounds):
        for connections in CONNECTIONS:
            for side in servers:
                found = side.load(connections, SECONDS)
                if turn or rounds == 1:  # the first one is to warm up
                    taken.setdefault((side.name, connections), []).append(found)
    return {
        side.name: {
            n: {
                what: statistics.median(each[what] for each in taken[side.name, n])
                for what in ("rps", "p50", "p99")
            }
            for n in CONNECTIONS
        }
        for side in servers
    }


def main() -> None:
    """Measures all of them."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bundle_dir = model(folder / "bundle", photographs(folder / "data", 10, 10))
        servers = sides(folder, bundle_dir)
        try:
            found = measured(servers, rounds)
            alone = bare(bundle_dir, folder / "photo.jpg")
            memory = {side.name: side.memory() for side in servers}
        finally:
            for side in servers:
                side.process.send_signal(signal.SIGTERM)
                side.process.wait()
        sizes = {name: (folder / name).stat().st_size for name in ("photo.jpg", "pixels.json")}
    rps = {name: each[AT]["rps"] for name, each in found.items()}
    ratios = {
        "ours / best peer": rps["ours"] / max(rps[name] for name in PEERS),
        "ours / best peer with our engine": rps["ours"] / max(rps[name] for name in GIVEN),
        "ours / pixels as JSON": rps["ours"] / rps[ORIGIN],
        "one connection, p50 / engine alone": found["ours"][1]["p50"] / alone,
        "p99 / p50 at 16": found["ours"][AT]["p99"] / found["ours"][AT]["p50"],
    }
    met = all(ratios[name] >= least for name, least in TARGETS.items())
    met &= ratios["one connection, p50 / engine alone"] <= ONE
    met &= ratios["p99 / p50 at 16"] <= TAIL
    met &= servers[0].ready < READY
    met &= memory["ours"] < MEMORY
    report(
        {
            "n": rounds,
            "requests a second": {
                name: {n: round(each["rps"], 1) for n, each in by.items()}
                for name, by in found.items()
            },
            "ms": {n: rounded(each) for n, each in found["ours"].items()},
            "engine alone, ms": round(alone, 2),
            "ready, s": rounded({side.name: side.ready for side in servers}),
            "memory, MB": rounded(memory),
            "bytes": sizes,
            "ratios": rounded(ratios),
            "target": f"{TARGETS}, p50 <= {ONE} x the engine, p99 <= {TAIL} x p50,"
            f" ready < {READY} s, memory < {MEMORY} MB",
            "met": met,
        }
    )


if __name__ == "__main__":
    main()
