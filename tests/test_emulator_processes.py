"""Jobs of several processes, and jobs that run for too long."""

import asyncio
import sys
import time

import emulation
import pytest

from mlops_spec.emulator import (
    bench,
    distribution,
    jobs,
    limits,
    process,
    store,
    sweeps,
    workspaces,
)
from mlops_spec.emulator.routing import ServiceError

quiet = pytest.mark.filterwarnings("ignore")  # of Azure's SDK, about itself
SHOWN = ("RANK", "LOCAL_RANK", "NODE_RANK", "WORLD_SIZE", "AZUREML_NODE_COUNT")


@pytest.fixture(scope="module")
def ml(tmp_path_factory):
    with emulation.running(tmp_path_factory.mktemp("emulator") / "state"):
        yield emulation.ready()


def spread(each, nodes, kind="PyTorch"):
    asked = {"distributionType": kind, "processCountPerInstance": each}
    return {"distribution": asked, "resources": {"instanceCount": nodes}}


def test_every_process_knows_which_one_it_is():
    found = distribution.workers(spread(2, 3))
    told = [tuple(int(one.variables[name]) for name in SHOWN) for one in found]
    assert told == [(rank, rank % 2, rank // 2, 6, 3) for rank in range(6)]
    assert [one.log for one in found] == [f"std_log_process_{rank}.txt" for rank in range(6)]
    assert distribution.workers(spread(12, 1))[0].log == "std_log_process_00.txt"


def test_without_a_distribution_a_job_is_one_process_that_is_told_nothing():
    for properties in ({}, {"resources": {"instanceCount": 3}}, spread(1, 1, "Mpi")):
        assert distribution.workers(properties) == [distribution.Worker()]
        assert distribution.together([distribution.Worker()])[0].variables == {}


def test_processes_meet_at_one_free_port():
    found = distribution.together(distribution.workers(spread(2, 1)))
    (place,) = {(one.variables["MASTER_ADDR"], one.variables["MASTER_PORT"]) for one in found}
    assert place[0] == "127.0.0.1"
    assert int(place[1]) > 1023


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        (spread(2, 1, "Mpi"), "of type Mpi"),
        (spread(1, 2, "TensorFlow"), "of type TensorFlow"),
        (spread(0, 1), "processCountPerInstance is not a number of at least 1: 0"),
        (spread(1, "two"), "instanceCount"),
        (spread(65, 1), "at most 64"),
    ],
)
def test_a_distribution_that_can_not_be_run_is_refused(wrong, why):
    with pytest.raises(ServiceError, match=why):
        distribution.workers(wrong)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("PT1H1M40S", 3700), ("PT5S", 5), ("P1DT2H", 93600), (None, None)],
)
def test_a_limit_is_a_duration(text, seconds):
    assert limits.seconds({"limits": {"timeout": text}}) == seconds
    assert limits.seconds({}) is None


@pytest.mark.parametrize("wrong", ["an hour", "PT0S", "PT", "-PT5S"])
def test_a_limit_that_is_none_is_refused(wrong):
    with pytest.raises(ServiceError, match=r"limits\.timeout"):
        limits.seconds({"limits": {"timeout": wrong}})


def test_only_its_own_limit_ends_it_as_one():
    async def slow(most):
        async with limits.limited(most):
            await asyncio.sleep(0.2)

    async def late():
        async with limits.limited(5):
            raise TimeoutError("somebody else's")

    asyncio.run(slow(None))
    with pytest.raises(ServiceError, match=r"maximum run duration of 0\.1 seconds"):
        asyncio.run(slow(0.1))
    with pytest.raises(TimeoutError, match="somebody else's"):
        asyncio.run(late())


def test_when_one_process_fails_the_others_are_ended(tmp_path):
    scripts = ["trap 'echo told > told; exit 0' TERM; sleep 60 & wait", "sleep 0.3; exit 7"]

    async def all_of_them():
        words = [(s, tmp_path, {}, tmp_path / f"{n}.txt", None) for n, s in enumerate(scripts)]
        return await process.first_failure([process.run(*one) for one in words])

    begun = time.monotonic()
    assert asyncio.run(all_of_them()) == (1, 7)
    assert time.monotonic() - begun < 5
    assert (tmp_path / "told").read_text() == "told\n"


def test_a_trial_has_the_limit_that_the_sweep_gives_it(tmp_path):
    known = store.Store(tmp_path / "state.sqlite")
    lab = workspaces.Workspace("11111111-2222-3333-4444-555555555555", "rg", "lab")
    asked = {
        "jobType": "Sweep",
        "samplingAlgorithm": {"samplingAlgorithmType": "Grid"},
        "searchSpace": {"lr": ["choice", [[0.1]]]},
        "trial": {"command": "true"},
        "limits": {"jobLimitsType": "Sweep", "trialTimeout": "PT1M"},
    }
    made = []

    async def child(job):
        made.append(limits.seconds(job.properties))
        return "Completed"

    desk = bench.Bench(known, None, None, None, None, None, None, child)
    asyncio.run(sweeps.run(desk, jobs.create(known, lab, "s", asked)))
    assert made == [60]
    known.close()


SUMMED = """
import os, torch, torch.distributed as dist
dist.init_process_group("gloo")
found = torch.tensor([float(dist.get_rank() + 1)])
dist.all_reduce(found)
print("sum", found.item(), "of", dist.get_world_size(), os.environ["NODE_RANK"])
"""


@pytest.mark.slow
@quiet
def test_processes_of_a_job_train_together(ml, tmp_path):
    from azure.ai.ml import PyTorchDistribution

    pytest.importorskip("torch")
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "main.py").write_text(SUMMED, "utf-8")
    name = emulation.completed(
        ml,
        f"{sys.executable} main.py; echo $RANK > ${{{{outputs.out}}}}/$RANK",
        job={
            "code": str(tmp_path / "code"),
            "distribution": PyTorchDistribution(process_count_per_instance=1),
            "instance_count": 2,
        },
    )
    found = emulation.downloaded(ml, name, tmp_path / "down", all=True)
    for rank in range(2):
        log = found[f"artifacts/user_logs/std_log_process_{rank}.txt"]
        assert f"sum 3.0 of 2 {rank}" in log
        assert found[f"named-outputs/out/{rank}"] == f"{rank}\n"


@pytest.mark.slow
@quiet
def test_a_process_that_fails_fails_the_job(ml, capsys):
    from azure.ai.ml import PyTorchDistribution
    from azure.ai.ml.exceptions import JobException

    script = "echo rank $RANK; if [ $RANK = 1 ]; then sleep 4; exit 9; fi; sleep 300"
    several = PyTorchDistribution(process_count_per_instance=2)
    name = emulation.submit(ml, script, job={"distribution": several})
    with pytest.raises(JobException, match=r"status code 9.*std_log_process_1\.txt.*rank 1"):
        ml.jobs.stream(name)
    assert "rank 0" in capsys.readouterr().out  # the SDK streams the first one's log


@pytest.mark.slow
@quiet
def test_a_job_that_runs_too_long_has_failed_and_what_it_wrote_is_kept(ml, tmp_path):
    from azure.ai.ml.exceptions import JobException

    script = (
        "trap 'echo told > ${{outputs.out}}/told; exit 0' TERM;"
        " echo part > ${{outputs.out}}/part; sleep 300 & wait"
    )
    begun = time.monotonic()
    name = emulation.submit(ml, script, job={"timeout": 2})
    with pytest.raises(JobException, match="maximum run duration of 2 seconds"):
        ml.jobs.stream(name)
    assert time.monotonic() - begun < 30
    assert ml.jobs.get(name).status == "Failed"
    found = emulation.downloaded(ml, name, tmp_path, all=True)
    assert found["named-outputs/out/part"] == "part\n"
    assert found["named-outputs/out/told"] == "told\n"


@pytest.mark.slow
@quiet
def test_a_limit_that_is_none_is_refused_when_it_is_sent(ml):
    import requests
    from azure.identity import DefaultAzureCredential

    name = emulation.completed(ml, "true")
    workspace = ml.jobs.get(name).id.partition("/jobs/")[0]
    token = DefaultAzureCredential().get_token("https://management.azure.com/.default").token
    sent = {
        "jobType": "Command",
        "command": "true",
        "environmentId": f"{workspace}/environments/e/versions/1",
        "limits": {"jobLimitsType": "Command", "timeout": "PT0S"},
    }
    answer = requests.put(
        f"https://management.azure.com{workspace}/jobs/endless",
        params={"api-version": "2024-01-01-preview"},
        json={"properties": sent},
        headers={"Authorization": f"Bearer {token}"},
        timeout=30,
    )
    assert answer.status_code == 400
    assert "above zero" in answer.json()["error"]["message"]


@pytest.mark.slow
@quiet
def test_the_output_that_every_job_has(ml, tmp_path):
    from azure.ai.ml import Input
    from azure.ai.ml import command as make

    name = emulation.completed(ml, "mkdir -p outputs; echo noted > outputs/note; echo said")
    inputs = {"before": Input(type="uri_folder", path=f"azureml://jobs/{name}/outputs/default")}
    settings = {"environment": "azureml:e:1", "experiment_name": "tries", "inputs": inputs}
    script = "cat ${{inputs.before}}/outputs/note ${{inputs.before}}/user_logs/std_log.txt"
    second = ml.jobs.create_or_update(make(command=script, **settings)).name
    assert emulation.ended(ml, second).status == "Completed"
    log = emulation.downloaded(ml, second, tmp_path / "log")["artifacts/user_logs/std_log.txt"]
    assert log == "noted\nsaid\n"


@pytest.mark.slow
@quiet
def test_a_step_and_a_trial_have_processes_too(ml):
    from azure.ai.ml import Input, PyTorchDistribution, dsl
    from azure.ai.ml import command as make
    from azure.ai.ml.entities import AmlCompute
    from azure.ai.ml.sweep import Choice

    ml.compute.begin_create_or_update(AmlCompute(name="cpu", size="Standard_DS3_v2")).result()
    several = PyTorchDistribution(process_count_per_instance=2)
    shared = {"environment": "azureml:e:1", "distribution": several}
    step = make(command="test $WORLD_SIZE = 2 && sleep 300", name="step", **shared)

    @dsl.pipeline(default_compute="cpu", experiment_name="tries")
    def steps():
        step().set_limits(timeout=3)

    base = make(
        command="test $WORLD_SIZE = ${{inputs.size}}",
        inputs={"size": Input(type="number", default=2)},
        compute="cpu",
        experiment_name="tries",
        **shared,
    )
    sweep = base(size=Choice([2, 3])).sweep(
        primary_metric="loss", goal="Minimize", sampling_algorithm="grid", compute="cpu"
    )
    sweep.set_limits(max_total_trials=2)
    names = [ml.jobs.create_or_update(one).name for one in (steps(), sweep)]
    assert [emulation.ended(ml, name).status for name in names] == ["Failed", "Completed"]
    (child,) = ml.jobs.list(parent_job_name=names[0])
    error = ml.jobs._runs_operations.get_run_details(child.name).error
    assert "maximum run duration of 3 seconds" in error.error.message
    trials = [child.status for child in ml.jobs.list(parent_job_name=names[1])]
    assert sorted(trials) == ["Completed", "Failed"]
