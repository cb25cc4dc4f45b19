"""Images built without a daemon, by Buildah as root, on a base that is made here.

The base stands in for python:slim, which only a registry has: Debian bookworm with its own Python
3.11, called `python`, whose pip installs as it does there.
"""

import json
import os
import re
import shutil
import ssl
import subprocess
import sys
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
BASE = "localhost/base"
DEBIAN = ("python-is-python3", "python3-pip", "python3-venv")
_FILE = "FROM scratch\nCOPY . /\nENV PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n"
_ISOLATED = ("--isolation", "chroot", "--network", "host")


def needed():
    """Skips where nothing can be built."""
    if sys.platform != "linux" or os.geteuid():
        pytest.skip("LOUD: no image was built: it needs Linux and root")
    for tool in ("buildah", "mmdebstrap"):
        if shutil.which(tool) is None:
            pytest.skip(f"LOUD: {tool} is absent: no image was built")
    if subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False).returncode:
        pytest.skip("LOUD: no image was built: root may not mount here")


def done(*words):
    """What a command prints; it succeeds."""
    answer = subprocess.run(
        [*map(str, words)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    said = f"{words}\n{answer.stdout[-4000:]}\n{answer.stderr[-4000:]}"
    assert answer.returncode == 0, said
    return answer.stdout


@dataclass(frozen=True)
class Store:
    """Images and containers of a test, below a folder of it."""

    folder: Path

    @property
    def buildah(self):
        return ["buildah", "--root", self.folder / "root", "--runroot", self.folder / "run"]

    def __call__(self, *words):
        return done(*self.buildah, *words).strip()

    def build(self, name, file, context, **arguments):
        """An image of a Dockerfile."""
        given = [f"--build-arg={key}={value}" for key, value in arguments.items()]
        words = ["--format", "docker", "--file", file, "--tag", f"localhost/{name}", *given]
        self("bud", *_ISOLATED, *words, context)
        return f"localhost/{name}"

    def config(self, image):
        """What Docker reads of it."""
        return json.loads(self("inspect", "--type", "image", image))["Docker"]["config"]

    def layers(self, image):
        """MB of each layer, the lowest first."""
        with self.scratch() as folder:
            self("push", "--disable-compression", image, f"dir:{folder}")
            layers = json.loads((folder / "manifest.json").read_bytes())["layers"]
        return [layer["size"] / 1e6 for layer in layers]

    @contextmanager
    def container(self, image):
        """A container of an image that runs nothing yet: its name, and where its files are."""
        name = self("from", image)
        try:
            yield name, Path(self("mount", name))
        finally:
            self("rm", name)

    def running(self, container, words, folders=(), **environment):
        """The words of a command in a container, on this machine's own loopback."""
        mounts = [f"--volume={here}:{there}" for here, there in folders]
        named = [f"--env={name}={value}" for name, value in environment.items()]
        how = [*_ISOLATED, *mounts, *named]
        return [*map(str, [*self.buildah, "run", *how, container, "--", *words])]

    @contextmanager
    def scratch(self):
        folder = self.folder / "scratch"
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def store(folder):
    """A store that has a base; nothing of it is left behind."""
    made = Store(folder)
    debian, file = folder / "debian", folder / "Dockerfile"
    file.write_text(_FILE, "utf-8")
    try:
        _bootstrap(debian)
        made.build("base", file, debian)
        yield made
    finally:
        with suppress(AssertionError):
            made("rm", "--all")
            made("rmi", "--all", "--force")
        shutil.rmtree(folder, ignore_errors=True)


def _bootstrap(folder):
    how = ["--variant=minbase", f"--include={','.join(DEBIAN)}", "--dpkgopt=force-unsafe-io"]
    done("mmdebstrap", *how, "bookworm", folder, *_mirror())
    (folder / "usr/lib/python3.11/EXTERNALLY-MANAGED").unlink()
    _reach(folder)


def _mirror():
    """Where this machine's packages come from, if it has Debian's bookworm."""
    words = ["apt-get", "indextargets", "--format", "$(SITE)", "Codename: bookworm"]
    words += ["Component: main", "Origin: Debian"]
    answer = subprocess.run(words, capture_output=True, text=True, check=False)
    return answer.stdout.split()[:1]


def _reach(folder):
    """What a build trusts and where pip looks is what is so on this machine."""
    trusted = ssl.get_default_verify_paths().cafile or os.environ.get("SSL_CERT_FILE")
    if trusted:
        shutil.copyfile(trusted, folder / "etc/ssl/certs/ca-certificates.crt")
    said = done(sys.executable, "-m", "pip", "config", "list")
    found = re.findall(r"^(?:global|:env:)\.(index-url|trusted-host)='(.*)'$", said, re.MULTILINE)
    lines = [f"{name} = {value}\n" for name, value in dict(found).items()]
    (folder / "etc/pip.conf").write_text("".join(["[global]\n", *lines]), "utf-8")
