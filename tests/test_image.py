"""The image that scores: what its Dockerfile says holds, and what it installs is enough to serve.

No Docker is needed: the build stage's own commands run here, in folders of a test in place of the
image's, and the service is started as the image starts it. `test_image_built.py` builds the image.
"""

import argparse
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tomllib
import venv
from contextlib import suppress
from importlib import metadata
from pathlib import Path

import dockerfiles
import pytest
import small_bundle
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from scoring import Client, free_port, ready
from test_scoring import RED, labels

from deployers.scoring import __main__ as service

ROOT = Path(__file__).resolve().parents[1]
HERE = ROOT / "docker" / "score"
FILE = dockerfiles.read(HERE / "Dockerfile")
BASE_MB = 130.0  # python:3.11.16-slim-bookworm on disk, as docker-library/repo-info records it
MOST_MB = 600
TRAINING = ("torch", "torchvision", "lightning", "pytorch_lightning", "mlflow", "onnx", "sklearn")
TRAINING += ("hydra", "omegaconf", "pip", "trainers")

# What a service imports by its start, a distribution a line
IMPORTS = """
import sys
before = {*sys.modules}
import deployers.scoring.__main__, deployers.scoring.engines.onnxruntime, onnxruntime
import uvicorn.lifespan.on, uvicorn.loops.auto, uvicorn.protocols.http.auto
uvicorn.loops.auto.auto_loop_factory()
from importlib.metadata import packages_distributions
owners = packages_distributions()
names = {name.partition(".")[0] for name in {*sys.modules} - before}
print(*sorted({owner for name in names for owner in owners.get(name, ())}), sep="\\n")
"""


def given(name, stage=1):
    return [each for each in FILE if each.name == name and each.stage == stage]


def requirements(name="requirements.txt"):
    """The lines of a list, without comments."""
    lines = (HERE / name).read_text("utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def needed(names):
    """Distributions, and those that they need in turn."""
    found, left = set(), [*names]
    while left:
        name = canonicalize_name(left.pop())
        if name in found:
            continue
        found.add(name)
        for text in metadata.requires(name) or ():
            one = Requirement(text)
            if not one.marker or one.marker.evaluate({"extra": ""}):
                left.append(one.name)
    return found


def test_what_is_installed_is_what_the_package_asks_for():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert {*requirements()} <= {*project["dependencies"]}
    first, *more = requirements("openvino.txt")
    assert (first, more) == ("-r requirements.txt", project["optional-dependencies"]["openvino"])


def test_all_that_is_imported_is_installed_and_nothing_else():
    words = [sys.executable, "-c", IMPORTS]
    answer = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True)
    imported = {*map(canonicalize_name, answer.stdout.split())} - {"mlops-spec"}
    named = {canonicalize_name(Requirement(line).name) for line in requirements()}
    assert imported <= needed(named)
    assert named <= imported


def test_what_is_copied_is_there_and_let_in():
    ignore = HERE / "Dockerfile.dockerignore"
    sources = [word for each in given("COPY", 0) for word in each.words[:-1]]
    assert len(sources) == 9
    for source in sources:
        assert (ROOT / source).exists(), source
        for path in [
            source.rstrip("/"),
            *(["conf/target/local.yaml"] if source == "conf/" else []),
        ]:
            assert dockerfiles.lets_in(ignore, path), path
    for other in (".env", ".mlops", "runs/x", "infra/a.tfstate", ".git", "conf/__pycache__/x"):
        assert not dockerfiles.lets_in(ignore, other), other


def test_it_starts_the_service_by_flags_that_there_are(monkeypatch):
    (entry,) = (each.command() for each in given("ENTRYPOINT"))
    assert entry[:3] == ["python", "-m", "deployers.scoring"]
    found = {}

    def parsed(parser, words=None, namespace=None):
        found.update(vars(plain(parser, words, namespace)))
        raise KeyboardInterrupt

    plain = argparse.ArgumentParser.parse_args
    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", parsed)
    monkeypatch.setattr(sys, "argv", entry[2:])
    with suppress(KeyboardInterrupt):
        service.main()
    made = [each.words[-1] for each in given("COPY")]
    assert str(found["settings"]) in made
    assert [str(found["port"])] == [each.text for each in given("EXPOSE")]
    assert found["host"] == "0.0.0.0"  # noqa: S104 - of a container: what is published decides


def test_it_is_nobody_s_root_and_pinned():
    (user,) = given("USER")
    assert int(user.text) > 0
    (made,) = given("RUN")
    assert f"--uid={user.text}" in made.text.replace("--uid ", "--uid=")
    (home,) = given("WORKDIR")
    assert home.text in made.text
    assert {each.text for each in FILE if each.name == "STOPSIGNAL"} == {"SIGTERM"}
    (base,) = (each for each in FILE if each.stage == -1)
    assert re.fullmatch(r"BASE=python:3\.11\.\d+-slim-[a-z]+", base.text)
    assert {each.words[0] for each in FILE if each.name == "FROM"} == {"${BASE}"}
    assert not [each for each in FILE if each.name in {"ENV", "ARG"} and "KEY" in each.text]


def test_nothing_is_sent_to_the_maker_of_an_engine():
    assert "ORT_DISABLE_TELEMETRY=1" in [word for each in given("ENV") for word in each.words]


def built(folder, **arguments):
    """The build stage, run without Docker: where the image's folders are here."""
    places = {"/opt/": f"{folder}/opt/"}
    (folder / "opt").mkdir()
    venv.create(folder / "base", with_pip=True)
    environment = {**os.environ, "PATH": f"{folder / 'base' / 'bin'}:{os.environ['PATH']}"}
    for each in (each for each in FILE if each.stage == 0):
        if each.name == "ARG":
            name, _, value = each.text.partition("=")
            environment[name] = arguments.get(name, value)
        elif each.name == "COPY":
            *sources, target = each.words
            copied(sources, folder / "src" / target)
        elif each.name == "RUN":
            command = re.sub("|".join(places), lambda found: places[found[0]], each.text)
            words = ["sh", "-ec", command]
            done = subprocess.run(
                words,
                cwd=folder / "src",
                env=environment,
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return folder / "opt"


def copied(sources, target):
    target.mkdir(parents=True, exist_ok=True)
    for source in sources:
        if source.endswith("/"):
            shutil.copytree(
                ROOT / source,
                target,
                dirs_exist_ok=True,
                ignore=shutil.ignore_patterns("__pycache__"),
            )
        else:
            shutil.copy(ROOT / source, target)


def size_of(folder):
    """MB on disk."""
    files = [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]
    return sum(path.stat().st_blocks * 512 for path in files) / 1e6


def started(made, bundle, folder, port):
    """The service as the image starts it."""
    (entry,) = (each.command() for each in given("ENTRYPOINT"))
    here = {"python": str(made / "scoring" / "bin" / "python"), "/model": str(bundle), "5001": port}
    here["/etc/scoring/serving.json"] = str(made / "serving.json")
    words = [str(here.get(word, word)) for word in entry]
    keep = {name: os.environ[name] for name in ("PATH",)}
    log = folder / "log.txt"
    with log.open("ab") as output:
        process = subprocess.Popen(
            words, cwd=folder, env={**keep, "SCORING_KEY": "s3cret"}, stdout=output, stderr=output
        )
    return Client(process, port, log)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["requirements.txt", "openvino.txt"])
def test_what_it_installs_serves_and_is_small(name, tmp_path):
    made = built(tmp_path, REQUIREMENTS=name)
    python = made / "scoring" / "bin" / "python"
    probe = f"import importlib.util as i; print([n for n in {TRAINING} if i.find_spec(n)])"
    found = subprocess.check_output([python, "-c", probe], text=True, cwd=tmp_path)
    assert found.strip() == "[]"
    bundle = small_bundle.make(tmp_path / "bundle")
    settings = json.loads((made / "serving.json").read_bytes())
    kept = {
        **settings["sampling"],
        "share": 1.0,
        "folder": str(tmp_path / "samples"),
        "min_free": 1,
    }
    engine = "onnxruntime" if name == "requirements.txt" else "openvino"
    changed = json.dumps({**settings, "engine": engine, "sampling": kept})
    (made / "serving.json").write_text(changed, "utf-8")
    client = started(made, bundle, tmp_path, free_port())
    try:
        ready(client, 60)
        assert labels(client.score(RED, Authorization="Bearer s3cret")) == ["red"]
        assert client.score(RED)[0] == 401
        assert client.ask("GET", "/model", Authorization="Bearer s3cret")[2]["engine"] == engine
        assert healthy(python, client.port) == 0
        client.process.send_signal(signal.SIGTERM)
        assert client.process.wait(60) in (0, -signal.SIGTERM)
        assert healthy(python, client.port) == 1
    finally:
        client.process.kill()
        client.process.wait()
    assert len([*(tmp_path / "samples" / "images").iterdir()]) == 1
    size = size_of(made)
    print(f"{name}: {size:.0f} MB, and {BASE_MB:.0f} MB of the base")
    assert size + BASE_MB < MOST_MB


def healthy(python, port):
    """The exit code of what Docker asks."""
    (check,) = (each.command() for each in given("HEALTHCHECK"))
    words = [python, "-c", check[2].replace("5001", str(port))]
    return subprocess.run(words, capture_output=True, check=False).returncode
