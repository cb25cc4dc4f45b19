"""A node that is taken away, and a pipeline that fails or whose gate says no."""

import json
import re
import shutil

import pytest
from azure_runs import Runs

from mlops_spec.azure import content
from mlops_spec.render import azureml

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore"),  # of Azure's SDK, about itself
]
PIPELINE = "compute.shape=pipeline"
EPOCHS = 120
SMALL = (
    *("training=transfer", "training.batch_size=4", f"training.epochs={EPOCHS}"),
    *("model=small_cnn", "model.resize=8", "model.input_size=8", "model.channels=1"),
    "training.early_stopping.patience=0",
)


def test_a_training_whose_node_is_taken_away_goes_on_from_its_checkpoint(runs: Runs) -> None:
    job = f"{runs.name}-train"
    said = runs.train(*SMALL, faults=[{"kind": "preempt", "on": job, "seconds": 12}])
    assert runs.status() == "done"
    assert runs.of_training() == [""]
    before, after = said.split("The node was taken away", 1)
    assert "continuing from the last checkpoint" in after
    first, second = epochs(before), epochs(after)
    assert first == list(range(1, len(first) + 1))
    assert second[0] in (len(first), len(first) + 1)  # the last may not have been kept yet
    assert second[-1] == EPOCHS


def epochs(said: str) -> list[int]:
    return [int(number) for number in re.findall(r"^train: epoch (\d+)/", said, re.MULTILINE)]


def test_a_training_whose_outputs_were_deleted_is_made_again(runs: Runs) -> None:
    runs.train()
    (step,) = runs.project.path.glob(f".mlops/steps/{runs.job()[-12:]}*")
    key = json.loads((step / "result.json").read_text("utf-8"))["key"]
    container, prefix = content.opened(runs.client(), azureml.place_of(key))
    with container:
        for blob in container.list_blobs(prefix):
            container.delete_blob(blob.name)
    shutil.rmtree(step)
    said = runs.train()
    assert f"what job {runs.job()[:-2]} made is not in workspace" in said
    assert runs.status() == "done"
    assert runs.of_training() == ["", "-2"]
    shutil.rmtree(step)
    runs.train()
    assert runs.status() == "done"
    assert runs.of_training() == ["", "-2"], "the second one is found"


def test_a_pipeline_of_which_a_job_fails_is_started_again(runs: Runs) -> None:
    runs.azure.faults({"kind": "fail", "on": "promote"})
    code, said = runs.run(PIPELINE)
    assert code == 5
    assert "pipeline: failed: " in said
    assert "promote" in said.split("pipeline: failed: ")[1]
    code, said = runs.run(PIPELINE)
    assert code == 0, said
    first, second = runs.submitted()
    assert second == f"{first}-2"
    assert "toy" in runs.results()["pipeline"]["text"]


def test_a_pipeline_whose_gate_says_no_has_not_failed(runs: Runs) -> None:
    code, said = runs.run(PIPELINE, "training.flip=true")
    assert code == 3
    assert runs.status("pipeline") == "refused"
    (name,) = runs.submitted()
    assert f"job {name}: Completed" in said
    (run,) = runs.project.path.glob("runs/*/promotion.json")
    told = json.loads(run.read_text("utf-8"))
    assert told["verdict"] == "reject"
    assert "version" not in told
    assert list(runs.client().models.list(name=runs.name)) == []
    again, said = runs.run(PIPELINE, "training.flip=true")
    assert again == 3
    assert runs.submitted() == [name]
