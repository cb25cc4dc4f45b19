"""Jobs that Azure's own SDK submits really run in the emulator."""

import emulation
import pytest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore"),  # of Azure's SDK, about itself
]

COPY = """
import os, pathlib, shutil, sys
source, target = map(pathlib.Path, sys.argv[1:3])
print("greeting", os.environ["GREETING"], os.environ["AZUREML_RUN_ID"], flush=True)
print("token", os.environ.get("MADE_UP_TOKEN"), file=sys.stderr)
shutil.copytree(source, target, dirs_exist_ok=True)
pathlib.Path("outputs").mkdir()
pathlib.Path("outputs/note.txt").write_text("noted")
"""
COMMAND = "python copy_all.py ${{inputs.data}} ${{outputs.out}}"
PHOTOS = {"a.txt": "one", "cats/b.txt": "two"}


@pytest.fixture(scope="module")
def azure(tmp_path_factory):
    state = tmp_path_factory.mktemp("emulator") / "state"
    with emulation.running(state, "--parallel", "2") as found:
        yield found


@pytest.fixture(scope="module")
def ml(azure, tmp_path_factory):
    """A client, and what jobs need: data, an environment and a cluster."""
    from azure.ai.ml.entities import AmlCompute, Data, Environment

    assert azure.process.poll() is None
    found = emulation.client()
    path = str(emulation.photos(tmp_path_factory.mktemp("photos"), PHOTOS))
    found.data.create_or_update(Data(name="photos", version="1", type="uri_folder", path=path))
    found.environments.create_or_update(
        Environment(name="train", version="1", image="ubuntu:22.04")
    )
    found.compute.begin_create_or_update(AmlCompute(name="cpu", size="Standard_DS3_v2")).result()
    return found


@pytest.fixture(scope="module")
def code(tmp_path_factory):
    return str(emulation.photos(tmp_path_factory.mktemp("code"), {"copy_all.py": COPY}))


def job(code, command=COMMAND, **more):
    from azure.ai.ml import Input, Output
    from azure.ai.ml import command as make

    inputs = {"data": Input(type="uri_folder", path="azureml:photos:1"), **more.pop("inputs", {})}
    settings = {
        "environment": "azureml:train:1",
        "compute": "cpu",
        "environment_variables": {"GREETING": "hello"},
        "outputs": {"out": Output(type="uri_folder")},
        "experiment_name": "tries",
        **more,
    }
    return make(code=code, command=command, inputs=inputs, **settings)


@pytest.fixture(scope="module")
def finished(ml, code):
    """A job that has copied its input."""
    made = ml.jobs.create_or_update(job(code, display_name="copy"))
    assert made.status == "Queued"
    found = emulation.ended(ml, made.name)
    assert found.status == "Completed"
    return found


def downloaded(ml, name, folder, **more):
    ml.jobs.download(name, download_path=str(folder), **more)
    return emulation.contents(folder)


def log_of(ml, name, folder):
    return downloaded(ml, name, folder)["artifacts/user_logs/std_log.txt"]


def test_a_job_reads_its_input_and_what_it_writes_is_kept(ml, finished, tmp_path):
    found = downloaded(ml, finished.name, tmp_path, all=True)
    log = found.pop("artifacts/user_logs/std_log.txt")
    copied = {f"named-outputs/out/{name}": text for name, text in PHOTOS.items()}
    assert found == {"artifacts/outputs/note.txt": "noted", **copied}
    assert f"greeting hello {finished.name}\n" in log
    assert "token None\n" in log  # the emulator's own secrets are not a job's


def test_the_log_is_streamed(ml, finished, capsys):
    import requests
    from azure.identity import DefaultAzureCredential

    ml.jobs.stream(finished.name)
    assert "Execution Summary" in capsys.readouterr().out
    token = DefaultAzureCredential().get_token("https://ml.azure.com/.default").token
    workspace = finished.id.partition("/jobs/")[0]
    url = f"https://westeurope.api.azureml.ms/history/v1.0{workspace}/runs/{finished.name}/details"
    bearer = {"Authorization": f"Bearer {token}"}
    logs = requests.get(url, headers=bearer, timeout=60).json()["logFiles"]
    text = requests.get(logs["user_logs/std_log.txt"], timeout=60).text
    assert f"greeting hello {finished.name}" in text
    unsigned = logs["user_logs/std_log.txt"].partition("?")[0]
    assert requests.get(unsigned, timeout=60).status_code in (403, 404)


def test_what_runs_is_seen_while_it_runs_and_can_be_cancelled(ml, code, tmp_path):
    script = "echo begun; echo half > ${{outputs.out}}/state.txt; sleep 300"
    made = ml.jobs.create_or_update(job(code, script))
    emulation.reached(ml, made.name, "Running")
    text = ""
    while "begun" not in text:  # the test's own timeout bounds it
        logs = ml.jobs._runs_operations.get_run_details(made.name).log_files
        import requests

        text = requests.get(logs["user_logs/std_log.txt"], timeout=60).text
    ml.jobs.begin_cancel(made.name).result()
    assert emulation.ended(ml, made.name).status == "Canceled"
    found = downloaded(ml, made.name, tmp_path, all=True)
    assert found["named-outputs/out/state.txt"] == "half\n"


def test_a_job_that_waits_can_be_cancelled(ml, code):
    from azure.core.exceptions import HttpResponseError

    several = [ml.jobs.create_or_update(job(code, "sleep 300")) for _ in range(3)]
    emulation.reached(ml, several[1].name, "Running")
    assert ml.jobs.get(several[2].name).status == "Queued"
    for made in reversed(several):
        ml.jobs.begin_cancel(made.name).result()
        assert emulation.ended(ml, made.name).status == "Canceled"
    with pytest.raises(HttpResponseError, match="terminal state"):
        ml.jobs.begin_cancel(several[0].name)


def test_a_job_that_fails_says_why_and_keeps_what_it_wrote(ml, code, tmp_path):
    from azure.ai.ml.exceptions import JobException

    script = "echo part > ${{outputs.out}}/part.txt; echo no photos here; exit 3"
    made = ml.jobs.create_or_update(job(code, script))
    with pytest.raises(JobException, match=r"status code 3.*no photos here"):
        ml.jobs.stream(made.name)
    assert ml.jobs.get(made.name).status == "Failed"
    found = downloaded(ml, made.name, tmp_path, all=True)
    assert found["named-outputs/out/part.txt"] == "part\n"


def test_what_a_job_leaves_in_the_background_ends_with_it(ml, code, tmp_path):
    mark = tmp_path / "mark"
    script = f"(sleep 3; touch {mark}) & echo started"
    made = ml.jobs.create_or_update(job(code, script))
    assert emulation.ended(ml, made.name).status == "Completed"
    import time

    time.sleep(3.5)
    assert not mark.exists()


def test_values_optional_parts_and_files_reach_the_command(ml, code, tmp_path):
    from azure.ai.ml import Input

    path = emulation.photos(tmp_path / "in", {"spec.json": "{}"}) / "spec.json"
    inputs = {
        "lr": 0.5,
        "spec": Input(type="uri_file", path=str(path)),
        "epochs": Input(type="integer", optional=True),
    }
    script = "echo lr=${{inputs.lr}} $[[--epochs ${{inputs.epochs}}]]end; cat ${{inputs.spec}}"
    made = ml.jobs.create_or_update(job(code, script, inputs=inputs))
    assert emulation.ended(ml, made.name).status == "Completed"
    assert log_of(ml, made.name, tmp_path / "out") == "lr=0.5 end\n{}"


def test_what_a_job_names_must_be_there(ml, code):
    from azure.core.exceptions import HttpResponseError

    for wrong in ({"compute": "gpu"}, {"environment": "azureml:train:9"}):
        with pytest.raises(HttpResponseError, match="Not found"):
            ml.jobs.create_or_update(job(code, **wrong))
    from azure.ai.ml import Input

    gone = {
        "data": Input(type="uri_folder", path="azureml://datastores/workspaceblobstore/paths/x")
    }
    made = ml.jobs.create_or_update(job(code, inputs=gone))
    assert emulation.ended(ml, made.name).status == "Failed"


def test_a_model_is_registered_from_an_output(ml, finished, tmp_path):
    from azure.ai.ml.entities import Model

    path = f"azureml://jobs/{finished.name}/outputs/out"
    made = ml.models.create_or_update(Model(name="net", path=path, type="custom_model"))
    assert (made.version, made.job_name) == ("1", finished.name)
    ml.models.download("net", "1", download_path=str(tmp_path))
    assert sorted(emulation.contents(tmp_path).values()) == sorted(PHOTOS.values())


def test_an_output_with_a_name_is_registered(ml, code):
    from azure.ai.ml import Output

    outputs = {"out": Output(type="custom_model", name="by-the-job")}
    made = ml.jobs.create_or_update(job(code, outputs=outputs))
    assert emulation.ended(ml, made.name).status == "Completed"
    assert ml.models.get("by-the-job", label="latest").job_name == made.name


def test_jobs_are_listed_tagged_and_archived(ml, finished):
    assert finished.name in {found.name for found in ml.jobs.list()}
    ml.jobs.update(finished.name, tags={"kept": "yes"})
    assert ml.jobs.get(finished.name).tags["kept"] == "yes"
    ml.jobs.archive(finished.name)
    assert finished.name not in {found.name for found in ml.jobs.list()}
    ml.jobs.restore(finished.name)


def test_code_is_uploaded_once(azure, ml, code, finished):
    assert finished.status == "Completed"
    count = sum(
        line["url"].endswith("/startPendingUpload") for line in emulation.exchanges(azure.state)
    )
    ml.jobs.create_or_update(job(code, "true"))
    later = sum(
        line["url"].endswith("/startPendingUpload") for line in emulation.exchanges(azure.state)
    )
    assert later == count


@pytest.mark.parametrize(("method", "trials"), [("grid", 4), ("random", 3)])
def test_a_sweep_tries_combinations(ml, code, tmp_path, method, trials):
    from azure.ai.ml.sweep import Choice

    script = "echo ${{inputs.lr}} ${{inputs.depth}} > ${{outputs.out}}/tried.txt"
    base = job(code, script, inputs={"lr": 0.1, "depth": 1})
    sweep = base(lr=Choice([0.1, 0.2]), depth=Choice([1, 2])).sweep(
        primary_metric="accuracy", goal="Maximize", sampling_algorithm=method, compute="cpu"
    )
    sweep.set_limits(max_total_trials=trials, max_concurrent_trials=2)
    made = ml.jobs.create_or_update(sweep)
    assert emulation.ended(ml, made.name).status == "Completed"
    children = [*ml.jobs.list(parent_job_name=made.name)]
    tried = {
        downloaded(ml, child.name, tmp_path / child.name, output_name="out")[
            "named-outputs/out/tried.txt"
        ].strip()
        for child in children
    }
    assert len(tried) == len(children) == trials
    assert tried <= {"0.1 1", "0.1 2", "0.2 1", "0.2 2"}


def pipeline(code, count_command):
    from azure.ai.ml import Input, Output, dsl

    folder = Input(type="uri_folder")
    copy = job(code, inputs={"data": folder}, compute=None)
    count = job(
        code,
        count_command,
        inputs={"data": folder, "word": Input(type="string")},
        outputs={"n": Output(type="uri_folder")},
        compute=None,
    )

    @dsl.pipeline(default_compute="cpu", experiment_name="tries")
    def steps(data, word):
        first = copy(data=data)
        second = count(data=first.outputs.out, word=word)
        return {"final": second.outputs.n}

    return steps(Input(type="uri_folder", path="azureml:photos:1"), "said")


COUNT = "(find ${{inputs.data}} -type f | wc -l; echo ${{inputs.word}}) > ${{outputs.n}}/n.txt"


def test_a_pipeline_hands_outputs_on(ml, code, tmp_path):
    made = ml.jobs.create_or_update(pipeline(code, COUNT))
    assert emulation.ended(ml, made.name).status == "Completed"
    found = downloaded(ml, made.name, tmp_path, output_name="final")
    assert found == {"named-outputs/final/n.txt": "2\nsaid\n"}
    children = [*ml.jobs.list(parent_job_name=made.name)]
    assert {child.display_name: child.status for child in children} == {
        "first": "Completed",
        "second": "Completed",
    }
    (first,) = (ml.jobs.get(child.name) for child in children if child.display_name == "first")
    assert (first.type, first.status) == ("command", "Completed")
    assert "/codes/" in first.code


def test_a_pipeline_fails_with_its_step(ml, code):
    from azure.ai.ml.exceptions import JobException

    made = ml.jobs.create_or_update(pipeline(code, "exit 1"))
    with pytest.raises(JobException, match="second"):
        ml.jobs.stream(made.name)
    assert ml.jobs.get(made.name).status == "Failed"


def test_a_cancelled_pipeline_cancels_its_step(ml, code):
    made = ml.jobs.create_or_update(pipeline(code, "sleep 300"))
    emulation.reached(ml, made.name, "Running")
    while len([*ml.jobs.list(parent_job_name=made.name)]) < 2:
        assert ml.jobs.get(made.name).status == "Running"
    ml.jobs.begin_cancel(made.name).result()
    assert emulation.ended(ml, made.name).status == "Canceled"
    children = [*ml.jobs.list(parent_job_name=made.name)]
    assert {child.display_name: child.status for child in children}["second"] == "Canceled"


def test_what_is_not_emulated_is_said(ml):
    from azure.ai.ml import Input, automl
    from azure.core.exceptions import HttpResponseError

    data = Input(type="mltable", path="azureml:photos:1")
    wanted = automl.image_classification(
        training_data=data, target_column_name="label", compute="cpu", experiment_name="tries"
    )
    with pytest.raises(HttpResponseError, match="does not run jobs of type AutoML"):
        ml.jobs.create_or_update(wanted)
