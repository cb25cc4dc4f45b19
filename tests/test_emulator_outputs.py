"""Outputs of jobs: folders with a path of their own, which one job finds as another left them."""

import time

import emulation
import pytest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore"),  # of Azure's SDK, about itself
]
STORE = "azureml://datastores/workspaceblobstore/paths"


@pytest.fixture(scope="module")
def azure(tmp_path_factory):
    state = tmp_path_factory.mktemp("emulator") / "state"
    with emulation.running(state) as found:
        yield found


@pytest.fixture(scope="module")
def ml(azure):
    assert azure.process.poll() is None
    return emulation.ready()


FIRST = (
    """cd ${{outputs.out}}; mkdir -p deep; echo 1 > deep/epoch; echo old > old; echo kept > kept"""
)
THEN = (
    """cd ${{outputs.out}}; cat deep/epoch old kept; echo 2 > deep/epoch; rm old; echo new > new"""
)
LEFT = {"deep/epoch": "2\n", "kept": "kept\n", "new": "new\n"}


def test_a_job_goes_on_where_the_one_before_ended(ml, tmp_path):
    path = f"{STORE}/tries/one/"
    emulation.completed(ml, FIRST, path=path)
    second = emulation.completed(ml, THEN, path=path)
    log = emulation.downloaded(ml, second, tmp_path / "log")["artifacts/user_logs/std_log.txt"]
    assert log == "1\nold\nkept\n"
    found = emulation.downloaded(ml, second, tmp_path / "out", output_name="out")
    assert found == {f"named-outputs/out/{name}": text for name, text in LEFT.items()}


def test_such_an_output_is_an_input_and_a_model_like_any_other(ml, tmp_path):
    from azure.ai.ml import Input
    from azure.ai.ml import command as make
    from azure.ai.ml.entities import Model

    name = emulation.completed(ml, FIRST, path=f"{STORE}/tries/two")
    path = f"azureml://jobs/{name}/outputs/out"
    model = ml.models.create_or_update(Model(name="two", path=path, type="custom_model"))
    assert (model.job_name, model.version) == (name, "1")
    assert "paths/tries/two" in model.path
    ml.models.download("two", "1", download_path=str(tmp_path / "model"))
    assert "1\n" in emulation.contents(tmp_path / "model").values()
    inputs = {"left": Input(type="uri_folder", path=path)}
    words = {"environment": "azureml:e:1", "experiment_name": "tries", "inputs": inputs}
    made = ml.jobs.create_or_update(make(command="cat ${{inputs.left}}/deep/epoch", **words))
    assert emulation.ended(ml, made.name).status == "Completed"
    log = emulation.downloaded(ml, made.name, tmp_path / "log")["artifacts/user_logs/std_log.txt"]
    assert log == "1\n"


RESUMES = """
cd ${{outputs.out}}
if [ -f checkpoint ]; then cat checkpoint; rm checkpoint; exit 0; fi
echo left > checkpoint
sleep 300
"""


def test_a_job_that_was_cancelled_leaves_its_checkpoint_to_the_next(ml, tmp_path):
    path = f"{STORE}/tries/three"
    begun = tmp_path / "begun"
    name = emulation.submit(ml, RESUMES.replace("sleep", f"touch {begun}; sleep"), path=path)
    while not begun.exists():  # the test's own timeout bounds it
        time.sleep(0.1)
    ml.jobs.begin_cancel(name).result()
    assert emulation.ended(ml, name).status == "Canceled"
    second = emulation.completed(ml, RESUMES, path=path)
    log = emulation.downloaded(ml, second, tmp_path / "log")["artifacts/user_logs/std_log.txt"]
    assert log == "left\n"
    assert emulation.downloaded(ml, second, tmp_path / "out", output_name="out") == {}


def test_a_pre_empted_job_finds_what_another_job_left_too(azure, ml, tmp_path):
    path = f"{STORE}/tries/four"
    emulation.completed(ml, "echo before > ${{outputs.out}}/before", path=path)
    azure.faults({"kind": "preempt", "seconds": 2})
    name = emulation.completed(ml, f"cat ${{{{outputs.out}}}}/before; {RESUMES}", path=path)
    log = emulation.downloaded(ml, name, tmp_path / "log")["artifacts/user_logs/std_log.txt"]
    assert log.startswith("before\n")
    assert log.endswith("again with its outputs.\nbefore\nleft\n")


def test_an_upload_neither_sees_nor_removes_what_is_there(ml, tmp_path):
    path = f"{STORE}/tries/five"
    emulation.completed(ml, FIRST, path=path)
    script = "cd ${{outputs.out}}; ls; echo added > added"
    name = emulation.completed(ml, script, path=path, mode="upload")
    assert emulation.downloaded(ml, name, tmp_path / "log")["artifacts/user_logs/std_log.txt"] == ""
    found = emulation.downloaded(ml, name, tmp_path / "out", output_name="out")
    assert sorted(found.values()) == ["1\n", "added\n", "kept\n", "old\n"]
