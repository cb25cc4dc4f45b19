"""What Azure's machines have and cost, and what a spec may therefore ask for."""

import datetime as dt
import re

import pytest
import yaml
from project import CLOUD, CONF, shipped_composer

from mlops_spec import azure_sizes
from mlops_spec.errors import SpecError
from mlops_spec.validate import parse

PRESETS = sorted(path.stem for path in (CONF / "compute").glob("azureml_*.yaml"))
GPU = "compute=azureml_gpu"


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def spec(*words):
    composition = shipped_composer().compose(["+experiment=quickstart", *CLOUD, *words])
    return parse(composition.values, composition.origins, composition.problems)


def problems(*words):
    with pytest.raises(SpecError) as caught:
        spec(*words)
    return {problem.key: problem.message for problem in caught.value.problems}


def compute(*words):
    return spec(*words).compute


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_has_a_price_and_the_devices_it_asks_for(preset):
    asked = compute(f"compute={preset}")
    size = azure_sizes.find(asked.vm_size)
    assert size is not None
    assert azure_sizes.most(asked) > 0
    assert (size.gpus >= asked.devices) == (asked.accelerator == "cuda")


def test_every_size_of_the_list_is_one_that_azure_has():
    document = yaml.safe_load(azure_sizes._LIST.read_text("utf-8"))
    for name, values in document["sizes"].items():
        assert re.fullmatch(r"Standard_\w+", name)
        assert not azure_sizes.retired(name)
        assert azure_sizes.Size(**values).usd > 0
    assert all(isinstance(day, dt.date) for day in document["retired"].values())


def test_a_job_costs_all_its_machines_for_all_its_time():
    one = compute(GPU, "compute.max_minutes=60")
    assert azure_sizes.most(one) == pytest.approx(0.526)
    many = compute(GPU, "compute.nodes=2", "compute.max_minutes=90")
    assert azure_sizes.most(many) == pytest.approx(0.526 * 2 * 1.5)
    own = compute(GPU, "compute.price_per_hour=2.0", "compute.max_minutes=30")
    assert azure_sizes.most(own) == pytest.approx(1.0)


def test_capitals_of_a_size_are_the_same_to_azure():
    assert azure_sizes.find("STANDARD_ds3_V2") == azure_sizes.find("Standard_DS3_v2")
    assert azure_sizes.retired("standard_nc6")


def test_people_are_told_what_a_job_may_cost():
    said = azure_sizes.told(compute(GPU))
    assert "1 x Standard_NC4as_T4_v3, 120 minutes at most" in said
    assert "1.05 USD at most (list prices of " in said
    assert "low priority is cheaper" in said
    assert "cheaper" not in azure_sizes.told(compute(GPU, "compute.tier=dedicated"))
    assert "(compute.price_per_hour" in azure_sizes.told(compute("compute.price_per_hour=1.0"))
    assert "nobody knows" in azure_sizes.told(compute("compute.vm_size=Standard_New_v9"))


def test_a_budget_that_a_run_may_exceed_is_a_bad_spec():
    assert spec(GPU, "budget.per_run=1.06").budget.per_run == 1.06
    found = problems(GPU, "budget.per_run=1.05")
    assert found.keys() == {"budget.per_run"}
    assert found["budget.per_run"].startswith("1.05 USD is less than a run may cost: 1 x ")
    assert "lower compute.max_minutes" in found["budget.per_run"]


def test_a_budget_needs_a_price():
    unknown = "compute.vm_size=Standard_New_v9"
    assert spec(unknown).compute.vm_size == "Standard_New_v9"
    assert (
        "no price of Standard_New_v9"
        in problems(unknown, "budget.per_run=5.0")["compute.price_per_hour"]
    )
    assert spec(unknown, "budget.per_run=5.0", "compute.price_per_hour=4.0")


@pytest.mark.parametrize(
    "size", ["NC6", "NC24r", "NC12_Promo", "NC6s_v2", "ND24rs", "NV12", "NC24s_v3"]
)
def test_a_size_that_is_gone_is_a_bad_spec(size):
    found = problems(GPU, f"compute.vm_size=Standard_{size}")
    assert re.search(rf"Standard_{size} is gone since 20\d\d-\d\d-\d\d", found["compute.vm_size"])


@pytest.mark.parametrize("size", ["NC24rs_v3", "NC24ads_A100_v4", "NV12s_v3", "ND40rs_v2"])
def test_a_size_with_a_like_name_is_not_gone(size):
    assert not azure_sizes.retired(f"Standard_{size}")


def test_more_devices_than_a_machine_has_are_a_bad_spec():
    assert "has 1 GPU" in problems(GPU, "compute.devices=2")["compute.devices"]
    cpu = problems(GPU, "compute.vm_size=Standard_DS3_v2")["compute.devices"]
    assert "Standard_DS3_v2 has no GPUs" in cpu
    assert spec("compute.devices=2").compute.devices == 2  # processes on processors
