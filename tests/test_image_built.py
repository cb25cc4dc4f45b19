"""The image that scores, built and started: three minutes, more beside other work."""

import http.client
import json
import os
import re
import signal
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

import images
import pytest
import small_bundle
import small_cnn
from scoring import Client, free_port, ready
from test_image import BASE_MB, HERE, MOST_MB, ROOT, TRAINING
from test_quantize import words as to_quantize
from test_scoring import RED, labels

from deployers.scoring import quantize

KEY = "s3cret"
USER = 10001
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    images.needed()
    with images.store(tmp_path_factory.mktemp("store")) as made:
        yield made


def built(store, requirements):
    name = requirements.partition(".")[0]
    return store.build(name, HERE / "Dockerfile", ROOT, BASE=images.BASE, REQUIREMENTS=requirements)


def documented(engine):
    """MB of the layers above the base, and with it."""
    text = (ROOT / "docs" / "serving.md").read_text("utf-8")
    (row,) = re.findall(rf"^\| {engine} \| (\d+) \| \d+ \| (\d+) \|$", text, re.MULTILINE)
    return [*map(int, row)]


def weighed(store, image, engine):
    base, *layers = store.layers(image)
    above = sum(layers)
    print(f"{engine}: {above:.0f} MB above the base, which has {base:.0f} MB here")
    assert [above, above + BASE_MB] == pytest.approx(documented(engine), rel=0.05)
    assert above + BASE_MB < MOST_MB


@contextmanager
def serving(store, image, folders, port, *more):
    """A container that serves, its folder, and its process on this machine."""
    entry = store.config(image)["Entrypoint"]
    asked = [*entry, "--host", "127.0.0.1", "--port", port, *more]
    with store.container(image) as (name, root):
        words = store.running(name, asked, folders, SCORING_KEY=KEY)
        log = store.folder / f"{port}.txt"
        with log.open("ab") as output:
            process = subprocess.Popen(words, stdout=output, stderr=output)
        try:
            yield ready(Client(process, port, log), 60), (name, root)
        finally:
            for pid in served_by(port):
                os.kill(pid, signal.SIGKILL)
            process.wait(60)


def served_by(port):
    """The processes in a container that have this port among their words."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().decode().split("\0")
        except OSError:
            continue
        if str(port) in words and words[0].endswith("python"):
            found.append(int(path.parent.name))
    return found


def settings(store, image, path, **changes):
    """A file of settings: the image's own, changed."""
    with store.container(image) as (_, root):
        known = json.loads((root / "etc/scoring/serving.json").read_bytes())
    sampling = {**known["sampling"], **changes.pop("sampling", {})}
    path.write_text(json.dumps({**known, "sampling": sampling, **changes}), "utf-8")
    return path, "/etc/scoring/serving.json:ro"


def ids(pid, name):
    """The four user or group ids of a process."""
    text = Path(f"/proc/{pid}/status").read_text("utf-8")
    return [*map(int, re.findall(rf"^{name}:(.*)$", text, re.MULTILINE)[0].split())]


def is_healthy(store, image, name, port):
    """What Docker's own question says, asked in the container."""
    _, *check = store.config(image)["Healthcheck"]["Test"]
    words = [word.replace("5001", str(port)) for word in check]
    return subprocess.run(store.running(name, words), capture_output=True, check=False).returncode


def leave(client, pid):
    """Tells it to end in the middle of a request, which is answered."""
    connection = http.client.HTTPConnection("127.0.0.1", client.port, timeout=60)
    connection.putrequest("POST", "/score")
    connection.putheader("Authorization", f"Bearer {KEY}")
    connection.putheader("Content-Length", str(len(RED)))
    connection.endheaders(RED[:20])
    time.sleep(0.5)
    os.kill(pid, signal.SIGTERM)
    time.sleep(0.5)
    connection.send(RED[20:])
    assert connection.getresponse().status == 200
    connection.close()
    client.process.wait(60)
    assert "subprocess exited on terminated" in client.log.read_text("utf-8")  # by its own will


def logged(client):
    """What the service itself wrote."""
    lines = client.log.read_text("utf-8").splitlines()
    return [line for line in lines if not line.startswith(("subprocess exited", "Error: exit"))]


def test_what_is_let_into_the_build_is_what_is_named(store, tmp_path):
    (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY . /\n", "utf-8")
    ignored = f"--ignorefile={HERE / 'Dockerfile.dockerignore'}"
    store("bud", "--file", tmp_path / "Dockerfile", ignored, "--tag", "localhost/context", ROOT)
    with store.container("localhost/context") as (_, root):
        found = {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}
    assert {name for name in found if "/" not in name} == {
        "LICENSE",
        "README.md",
        "constraints.txt",
        "pyproject.toml",
    }
    folders = {name.partition("/")[0] for name in found if "/" in name}
    assert folders == {"conf", "deployers", "docker", "mlops_spec"}
    assert not [name for name in found if "__pycache__" in name]


def test_an_image_serves_a_mounted_bundle_and_is_small(store, tmp_path):
    image = built(store, "requirements.txt")
    weighed(store, image, "ONNX Runtime")
    kept, port = tmp_path / "kept", free_port()
    kept.mkdir()
    os.chown(kept, USER, USER)
    folders = [
        (small_bundle.make(tmp_path / "bundle"), "/model:ro"),
        settings(store, image, tmp_path / "serving.json", sampling={"share": 1.0, "min_free": 1}),
        (kept, "/var/lib/scoring"),
    ]
    with serving(store, image, folders, port, "--name", "pets") as (client, (name, root)):
        (pid,) = served_by(port)
        assert ids(pid, "Uid") + ids(pid, "Gid") == [USER] * 8
        assert labels(client.score(RED, Authorization=f"Bearer {KEY}")) == ["red"]
        assert client.score(RED)[0] == 401
        assert is_healthy(store, image, name, port) == 0
        installed = root.glob("opt/scoring/lib/python3.11/site-packages/*")
        assert not {*TRAINING} & {path.name for path in installed}
        leave(client, pid)
        assert is_healthy(store, image, name, port) == 1
        own = [path for path in root.rglob("*") if path.lstat().st_uid == USER]
        assert {path.relative_to(root).parts[:3] for path in own} == {("var", "lib", "scoring")}
    assert [*map(type, map(json.loads, logged(client)))] == [dict] * 4  # its start, three requests
    assert [*kept.iterdir()] == [kept / ".mlops"]
    assert len([*kept.glob(".mlops/samples/images/*")]) == 1


def test_an_image_with_openvino_serves_in_int8(store, tmp_path):
    image = built(store, "openvino.txt")
    weighed(store, image, "with OpenVINO")
    made, port = small_cnn.make(tmp_path), free_port()
    assert quantize.main(to_quantize(made, tmp_path / "int8")) == 0
    how = {"engine": "openvino", "precision": "int8", "golden_tolerance": 0.5}
    folders = [
        (made[0], "/model:ro"),
        (tmp_path / "int8", "/int8:ro"),
        settings(store, image, tmp_path / "serving.json", **how),
    ]
    with serving(store, image, folders, port, "--int8", "/int8") as (client, _):
        asked = {"Authorization": f"Bearer {KEY}"}
        assert client.score((made[1] / "images" / "test0.png").read_bytes(), **asked)[0] == 200
        said = client.ask("GET", "/model", **asked)[2]
        assert (said["engine"], said["precision"]) == ("openvino", "int8")
