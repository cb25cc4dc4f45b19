"""Registries for tests: what one suite asks of each implementation, and how the world meddles."""

import hashlib
import os
import shutil
import subprocess
import sys
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import emulation
import pytest
import small_bundle

from mlops_spec import files, lineage, registry
from mlops_spec.azure import assets, content
from mlops_spec.azure.place import Place
from mlops_spec.azure.registry import AzuremlRegistry
from mlops_spec.registering import LocalRegistry
from mlops_spec.registry import Candidate

DATABASE, MODELS = Path("state/mlflow.db"), Path("state/models")
FIRST, SECOND = "1a" * 32, "2b" * 32
# Promotes one version a number of times, whoever is champion at the time.
BUSY = """
import sys
from pathlib import Path
from mlops_spec import registries, registry
from mlops_spec.errors import StateError

address, database, models, version, times = sys.argv[1:]
place, moved = registries.at(address, Path(database), Path(models)), 0
while moved < int(times):
    now = registry.champion(place.versions("digits"))
    try:
        place.promote("digits", int(version), f"by {version}", now.version)
        moved += 1
    except StateError:  # another one was faster
        pass
"""


def process(code, *words):
    """A program of its own that finds what tests find."""
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )


def promote_at_once(address, times):
    """Three versions are promoted again and again, each by a process of its own."""
    found = [process(BUSY, address, DATABASE, MODELS, number, times) for number in (2, 3, 1)]
    for one in found:
        said, _ = one.communicate(timeout=120)
        assert one.returncode == 0, said


def register(model, database=DATABASE):
    """Registers a model and makes it champion, as the step does."""
    place = LocalRegistry(database, MODELS)
    made = place.register(model)
    place.promote(model.model, made.version, "gate: better", champion(place, model.model))
    return registry.find(place.versions(model.model), made.version)


@contextmanager
def project(made, folder):
    """The working folder has a copy of a registry, at a project's own place."""
    shutil.copytree(made, folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        (folder / ".mlops").mkdir()
        (folder / "state/models").rename(folder / ".mlops/models")
        patch.setattr("registries.MODELS", Path(".mlops/models"))
        yield


def champion(place, model="digits"):
    """The number of the champion, 0 for none."""
    now = registry.champion(place.versions(model))
    return now.version if now else 0


def candidate(folder, train, baseline, scale, **more):
    """A small judged model; another `scale` is another model."""
    made = small_bundle.make(folder / "bundle", scale=scale)
    files.write_text(folder / "report.html", f"<p>{train}</p>")
    known = {"model": "digits", "metrics": {"accuracy": 0.75}, **more}
    known["report"] = folder / "report.html"
    known.setdefault("known", origin(baseline))
    return Candidate(train=train, baseline=baseline, bundle=made, **known)


def origin(baseline=0, key=None, weights=None):
    """What the step that registers knows of a model beside its bundle."""
    champion = {"version": baseline, "digest": "c4" * 32} if baseline else None
    parents = {"champion": champion, "weights": weights}
    said = {"code": {"trainers.transfer": "7d" * 32}, "parents": parents}
    verdict = lineage.Verdict(verdict="promote", reason="better")
    return lineage.Known(lineage.Origin.model_validate(said), verdict, key)


def mlflow_client(database=DATABASE):
    from mlflow import MlflowClient  # by the one process that asks: it takes seconds

    uri = f"sqlite:///{database.resolve()}"
    return MlflowClient(uri, uri)


@dataclass(frozen=True)
class Local:
    """The registry on this machine, in the working folder."""

    marks = ()

    def world(self, _):
        """What the tests of a module need besides; nothing."""
        return nullcontext()

    def open(self):
        return LocalRegistry(DATABASE, MODELS)

    def moved(self, first):
        """The working folder is a copy of the one that a model was registered in."""

    def move_by_hand(self, model, version):
        """What a person does to the alias with the registry's own tools."""
        mlflow_client().set_registered_model_alias(model, "champion", str(version))

    def delete(self, model, version):
        mlflow_client().delete_model_version(model, str(version))

    def edit(self, version):
        """Other labels, as text: neither weights nor network know them."""
        path = Path(version.path, "model.json")
        path.write_text(path.read_text("utf-8").replace('"blue"', '"teal"'), "utf-8")

    def alias(self, model):
        """The champion as the registry's own tools see it."""
        found = mlflow_client().get_registered_model(model).aliases
        return int(found.get("champion", 0))

    def second_write(self):
        """The write that moves the alias, in words that `interrupted` can be told."""
        return "mlflow.MlflowClient.set_registered_model_alias"

    def lose(self, version):
        shutil.rmtree(version.path)

    def change(self, version):
        with Path(version.path, "model.onnx").open("ab") as file:
            file.write(b"x")


@dataclass
class Azureml:
    """Workspaces of an emulator: the one of the working folder is called after it."""

    state: str = ""
    marks = pytest.mark.slow  # a minute, of which half is Azure's SDK and npm's server that start

    @contextmanager
    def world(self, folder):
        with emulation.running(folder / "azure") as emulator:
            self.state = str(emulator.state)
            yield

    @property
    def place(self):
        name = hashlib.sha256(str(Path.cwd()).encode()).hexdigest()[:20]
        return Place(emulation.SUBSCRIPTION, emulation.GROUP, f"mlw-{name}", self.state)

    @property
    def ml(self):
        """Azure's SDK, as people use it."""
        return emulation.client(self.place.name)

    def open(self):
        return AzuremlRegistry(self.place, MODELS)

    def moved(self, first):
        """Another folder is another workspace: nothing is registered there."""
        self.open().register(first)

    def move_by_hand(self, model, version):
        """What a person does to the tags in the studio."""
        for asset in self.ml.models.list(name=model):
            asset.tags.pop("champion", None)
            if asset.version == str(version):
                asset.tags["champion"] = "by hand"
            self.ml.models.create_or_update(asset)

    def delete(self, model, version):
        self.ml.models.archive(model, str(version))

    edit = Local.edit
    change = Local.change

    def alias(self, model):
        found = [one for one in self.ml.models.list(name=model) if "champion" in one.tags]
        assert len(found) < 2
        return int(found[0].version) if found else 0

    def second_write(self):
        """The one write that a move consists of; taking the tag from the one before is another."""
        return "mlops_spec.azure.assets.lead"

    def lose(self, version):
        """Both the copy here and what the workspace keeps."""
        shutil.rmtree(version.path)
        with self.container(version) as (container, prefix):
            for blob in container.list_blobs(prefix):
                container.delete_blob(blob.name)

    @contextmanager
    def container(self, version):
        """Where the workspace keeps a bundle, and how its blobs' names begin."""
        model = Path(version.path).parent.name
        found, prefix = content.opened(self.ml, assets.address(self.ml, model, version.version))
        with found:
            yield found, prefix


IMPLEMENTATIONS = {"azureml": Azureml(), "local": Local()}
