"""The documents of a cloud run are loaded by Azure's own SDK, and the job they describe runs."""

import subprocess
import sys
from pathlib import Path

import pytest
import small_bundle
import yaml
from project import CLOUD, GROUPS
from toyproject import Project, environment

from mlops_spec import manifest
from mlops_spec.cli import main

PRESETS = [preset for preset in GROUPS["compute"] if preset.startswith("azureml")]
# A process in which neither the engine's libraries nor Azure's can be imported
BARE = (
    "import runpy, sys; sys.modules.update(dict.fromkeys(['hydra', 'omegaconf', 'azure']));"
    "sys.argv[0] = 'trainers'; runpy.run_module('trainers', run_name='__main__', alter_sys=True)"
)


def prepared(project: Project, *words: str) -> dict:
    """Renders, prepares the data with the printed command line, and returns the job."""
    answer = project.run("render", *words, *CLOUD)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    command = next(line for line in answer.stdout.splitlines() if " trainers data " in line)
    subprocess.run(
        [sys.executable, *command.split()[1:]], cwd=project.path, check=True, env=environment()
    )
    (path,) = project.path.glob("rendered/*/train.yml")
    return yaml.safe_load(path.read_text("utf-8"))


def run_job(project: Project, job: dict) -> Path:
    """Runs a job's command line as the cloud would: from its code and inputs alone."""
    (folder,) = project.path.glob("rendered/*")
    out = project.path / "job"
    places = {
        "${{inputs.spec}}": str(folder / job["inputs"]["spec"]["path"]),
        "${{inputs.data}}": str(folder / "data"),
        "${{outputs.out}}": str(out),
    }
    words = [places.get(word, word) for word in job["command"].split()]
    assert words[:3] == ["python", "-m", "trainers"]
    done = subprocess.run(
        [sys.executable, "-c", BARE, *words[3:]],
        cwd=folder / job["code"],
        capture_output=True,
        text=True,
        check=False,
        env=environment(),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return out


@pytest.mark.slow
def test_a_rendered_job_trains_a_projects_own_kinds_without_the_engines_libraries(project):
    """The project is a folder of toy kinds; its data lies elsewhere until it is collected."""
    job = prepared(project, "name=toy", "data=toy", "training=toy")
    (project.path / "trainers").rename(project.path / "moved")  # the snapshot stands alone
    assert (run_job(project, job) / "model.json").is_file()


def test_collected_images_travel_with_their_manifest(tmp_path):
    images = tmp_path / "images"
    images.mkdir()
    rows = []
    for number in range(6):
        path = images / f"{number}.bin"
        path.write_bytes(bytes([number]))
        split, label = ("train", "val", "test")[number % 3], "ab"[number % 2]
        rows.append(manifest.Row(path.name, label, split, manifest.files.sha256_file(path)))
    folder = tmp_path / "prepared"
    before = manifest.write(folder, images, rows)
    (folder / "images").mkdir()
    (folder / "images" / "withdrawn.bin").touch()  # of an earlier collection
    manifest.collect(folder)
    assert not (folder / "images" / "withdrawn.bin").exists()
    folder.rename(tmp_path / "elsewhere")
    for path in images.iterdir():
        path.unlink()
    after = manifest.read(tmp_path / "elsewhere")
    assert (after.rows, after.digest) == (before.rows, before.digest)
    assert [after.content(row) for row in after.rows] == [bytes([i]) for i in range(6)]


@pytest.mark.slow
def test_a_rendered_job_trains_the_quickstart(tmp_path):
    project = Project(tmp_path)
    job = prepared(project, "+experiment=quickstart", "training.epochs=1")
    assert (run_job(project, job) / "model.onnx").is_file()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # the SDK's own, about its own libraries
def test_azures_own_sdk_loads_every_document(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    try:
        from azure.ai import ml
    except ImportError:
        pytest.skip("LOUD: azure-ai-ml is not installed: pip install 'mlops_spec[azure]'")
    from azure.ai.ml.entities._load_functions import load_schedule

    small_bundle.make(Path("bundle"))
    several = ("compute.devices=2", "compute.nodes=2", "model.weights=bundle")
    assert main(["render", "+experiment=quickstart", *CLOUD, *several]) == 0
    Path("rendered/quickstart/data").mkdir()
    folder = Path("rendered/quickstart")
    loaders = {
        "compute": ml.load_compute,
        "environment": ml.load_environment,
        "data": ml.load_data,
        "train": ml.load_job,
        "evaluate": ml.load_job,
        "environment_development": ml.load_environment,
        "environment_score": ml.load_environment,
    }
    assert {path.stem for path in folder.glob("*.yml")} == loaders.keys()
    for name, load in loaders.items():
        entity = load(folder / f"{name}.yml")
        if hasattr(entity, "_validate"):
            assert entity._validate().passed, entity._validate().error_messages
    job = ml.load_job(folder / "train.yml")
    assert (job.resources.instance_count, job.distribution.process_count_per_instance) == (2, 2)
    assert (folder / job.inputs["weights"].path).resolve() == Path("bundle").resolve()
    path = folder / "train.yml"
    path.write_text(path.read_text("utf-8").replace("compute:", "compoot:"), "utf-8")
    with pytest.raises(Exception, match="compoot"):  # the SDK would have said so
        ml.load_job(path)
    for preset in PRESETS:
        assert main(["render", "+experiment=quickstart", *CLOUD, f"compute={preset}"]) == 0
        job = ml.load_job(folder / "train.yml")
        assert job._validate().passed, job._validate().error_messages
        assert (job.compute is None) == (preset == "azureml_serverless")
        assert job.limits.timeout in (3600, 7200)
        whole = ["+experiment=quickstart", *CLOUD, f"compute={preset}", "compute.shape=pipeline"]
        assert main(["render", *whole, "compute.schedule='0 6 * * 1'"]) == 0
        assert load_schedule(folder / "schedule.yml").trigger.expression == "0 6 * * 1"
        job = ml.load_job(folder / "pipeline.yml")
        assert job._validate().passed, job._validate().error_messages
        assert [*job.jobs] == ["train", "evaluate", "promote"]
        assert ml.load_environment(folder / "environment_register.yml").version
