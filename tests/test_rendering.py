"""The documents of a cloud run: what they say, and which of them are stale."""

import json
import re
from pathlib import Path

import pytest
import yaml
from project import CLOUD, ROOT, SUBSCRIPTION, shipped_composer, tree, write

from mlops_spec import kinds, names, remote, rendering, road, snapshot
from mlops_spec.cli import main
from mlops_spec.facts import Facts, Lazy
from mlops_spec.validate import parse
from mlops_spec.where import AzureWorkspace

# Azure's rules for the names of its services
RULES = {
    "resource_group": r"[\w.()-]{1,89}[\w()-]",
    "workspace": r"[a-zA-Z0-9][a-zA-Z0-9_-]{2,32}",
    "storage_account": r"[a-z0-9]{3,24}",
    "key_vault": r"(?=.{3,24}$)[a-zA-Z](-?[a-zA-Z0-9])+",
    "container_registry": r"[a-zA-Z0-9]{5,50}",
    "log_analytics": r"[a-zA-Z0-9][a-zA-Z0-9-]{2,61}[a-zA-Z0-9]",
    "application_insights": r"[\w.()-]{1,254}[\w()-]",
    **dict.fromkeys(
        [f"{whose}_identity" for whose in ("workspace", "jobs", "kubernetes", "web", "devops")],
        r"[a-zA-Z0-9][\w-]{2,127}",
    ),
    "compute_instance": r"[a-zA-Z][a-zA-Z0-9-]{1,22}[a-zA-Z0-9]",
    "kubernetes": r"[a-zA-Z0-9][\w-]{0,61}[a-zA-Z0-9]",
    "kubernetes_compute": r"[a-zA-Z][a-zA-Z0-9-]{0,14}[a-zA-Z0-9]",
    "custom_vision_training": r"[a-zA-Z0-9][a-zA-Z0-9-]{0,62}[a-zA-Z0-9]",
    "custom_vision_prediction": r"[a-zA-Z0-9][a-zA-Z0-9-]{0,62}[a-zA-Z0-9]",
    "service_plan": r"[a-zA-Z0-9][a-zA-Z0-9-]{0,58}[a-zA-Z0-9]",
    "web_app": r"[a-zA-Z0-9][a-zA-Z0-9-]{0,58}[a-zA-Z0-9]",
    "virtual_network": r"[a-zA-Z0-9][\w.-]{0,62}\w",
    "budget": r"[\w-]{1,63}",
    "devops_project": r"[a-zA-Z0-9][\w .-]{0,62}[\w-]",
    "devops_repository": r"[a-zA-Z0-9][\w .-]{0,62}[\w-]",
}


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("mlops_spec.compose.Composer", shipped_composer)


def spec(*overrides):
    composition = shipped_composer().compose(["+experiment=quickstart", *CLOUD, *overrides])
    return parse(composition.values, composition.origins, composition.problems)


def documents(wanted):
    made = rendering.documents(wanted, rendering._requests(wanted))
    return {path.name: text for path, text in made.items()}


def workspace(prefix="mlops", subscription=SUBSCRIPTION, **chosen):
    where = {"subscription_id": subscription, "location": "westeurope"}
    return AzureWorkspace(kind="azure", **where, prefix=prefix, names=chosen)


@pytest.mark.parametrize("experiment", ["a", "quickstart", "Dogs_and-Cats", "x" * 63, "0_-9"])
@pytest.mark.parametrize("prefix", ["m", "mlops", "abcdefgh"])
def test_every_name_keeps_the_rules_of_its_service(experiment, prefix):
    made = vars(names.of(experiment, workspace(prefix)))
    assert made.keys() == RULES.keys()
    for service, name in made.items():
        assert re.fullmatch(RULES[service], name), f"{service}: {name}"


def test_names_are_told_apart_where_they_must_be():
    long = "stanford_dogs_resnext_"
    several = [
        names.of(f"{long}50", workspace()),
        names.of(f"{long}101", workspace()),
        names.of(f"{long}50", workspace(prefix="other")),
        names.of(f"{long}50", workspace(subscription=SUBSCRIPTION.replace("1", "9"))),
    ]
    for service in RULES:
        assert len({getattr(one, service) for one in several}) == 4
    upper = names.of("x", workspace(subscription=SUBSCRIPTION.replace("1", "A")))
    assert names.of("x", workspace(subscription=SUBSCRIPTION.replace("1", "a"))) == upper


def test_the_spec_decides_what_the_documents_say():
    made = documents(
        spec(
            "compute.min_nodes=5",
            "compute.max_nodes=5",
            "compute.tier=dedicated",
            "training.lr=0.5",
        )
    )
    cluster = yaml.safe_load(made["compute.yml"])
    assert (cluster["min_instances"], cluster["max_instances"]) == (5, 5)
    assert cluster["tier"] == "dedicated"
    assert json.loads(made["train.spec.json"])["training"]["lr"] == 0.5
    job = yaml.safe_load(made["train.yml"])
    environment, data = (yaml.safe_load(made[f"{n}.yml"]) for n in ("environment", "data"))
    assert job["environment"] == f"azureml:{environment['name']}:{environment['version']}"
    assert job["inputs"]["data"]["path"] == f"azureml:{data['name']}:{data['version']}"
    assert job["compute"] == f"azureml:{cluster['name']}"


def test_versions_of_assets_follow_their_content_and_nothing_else():
    def versions(*overrides):
        made = documents(spec(*overrides))
        return [yaml.safe_load(made[f"{n}.yml"])["version"] for n in ("environment", "data")]

    environment, data = versions()
    assert versions("training.lr=0.5") == [environment, data]
    assert versions("data.split_seed=1")[0] == environment
    assert versions("data.split_seed=1")[1] != data
    assert versions("compute.image=another")[0] != environment


def test_the_version_of_a_data_set_follows_the_code_that_prepares_it():
    wanted = spec()

    def version():
        facts = Facts("source", code=Lazy(kinds.code))
        *_, asset = remote.before(wanted, road.data_step(wanted, "source"), facts)
        return asset.payload["document"]["version"]

    before = version()
    write(Path.cwd(), {"trainers/transfer.py": "pass"})
    assert version() == before
    write(Path.cwd(), {"trainers/datasets/digits.py": "from mlops_spec import manifest"})
    own = version()
    assert own != before
    write(Path.cwd(), {"mlops_spec/manifest.py": "pass"})
    assert version() not in (own, before)


def test_a_job_has_what_the_trainers_need_and_not_what_only_the_engine_needs():
    conda = yaml.safe_load(documents(spec())["environment.yml"])["conda_file"]
    wanted = {re.split(r"[<>=]", text)[0] for text in conda["dependencies"][-1]["pip"]}
    assert {"torch", "pydantic", "onnxruntime"} <= wanted
    assert not {"hydra-core", "omegaconf", "azure-ai-ml", "pytest", "flask"} & wanted


def test_one_list_of_requirements_makes_every_environment():
    made = documents(spec("compute.shape=pipeline"))
    of = {name: libraries(yaml.safe_load(made[name])["conda_file"]) for name in CONDA}
    assert {"azure-ai-ml", "azure-identity"} < of["environment_register.yml"]
    assert of["environment_register.yml"] > of["environment.yml"]
    assert {"ipykernel", "hydra-core", "azure-ai-ml"} < of["environment_development.yml"]
    assert of["environment_development.yml"] > of["environment_register.yml"]
    score = libraries(yaml.safe_load(made["conda.yml"]))
    listed = (ROOT / "docker/score/requirements.txt").read_text("utf-8").splitlines()
    wanted = {re.split(r"[<>=;]", line)[0] for line in listed if not line.startswith("#")}
    assert score == wanted | {"azureml-inference-server-http"}
    assert yaml.safe_load(made["environment_score.yml"])["build"] == {"path": "environment_score"}
    assert "conda.yml" in made["Dockerfile"]
    assert yaml.safe_load(made["pipeline.yml"])["inputs"]["key"] == "none"  # of whatever data
    names = [yaml.safe_load(made[name]) for name in (*CONDA, "environment_score.yml")]
    assert len({(one["name"], one["version"]) for one in names}) == 4
    other = documents(spec("compute.image=another"))
    assert other["environment_score.yml"] != made["environment_score.yml"]
    assert other["Dockerfile"].splitlines()[1] == "FROM another"


CONDA = ("environment.yml", "environment_register.yml", "environment_development.yml")


def libraries(conda):
    return {re.split(r"[<>=;]", text)[0] for text in conda["dependencies"][-1]["pip"]}


def test_a_job_with_a_backbone_of_timm_gets_timm():
    def wanted(*words):
        conda = yaml.safe_load(documents(spec(*words))["environment.yml"])["conda_file"]
        return [text for text in conda["dependencies"][-1]["pip"] if text.startswith("timm")]

    assert wanted() == []
    assert len(wanted("model.backbone=timm/resnet10t")) == 1


def test_a_job_without_a_cluster_says_what_it_needs_to_be_lent():
    wanted = spec("compute=azureml_serverless", "compute.nodes=2", "compute.vm_size=Standard_X_v1")
    made = documents(wanted)
    job = yaml.safe_load(made["train.yml"])
    assert "compute.yml" not in made
    assert "compute" not in job
    assert job["resources"] == {"instance_type": "Standard_X_v1", "instance_count": 2}
    assert job["queue_settings"] == {"job_tier": "Spot"}
    dedicated = documents(spec("compute=azureml_serverless", "compute.tier=dedicated"))
    queue = yaml.safe_load(dedicated["train.yml"])["queue_settings"]
    assert queue == {"job_tier": "Standard"}


def test_documents_that_a_spec_has_no_more_are_stale_and_go(tmp_path, capsys):
    argv = ["render", "+experiment=quickstart", *CLOUD]
    assert main(argv) == 0
    other = [*argv, "compute=azureml_serverless"]
    assert main([*other, "--check"]) == 4
    assert "stale rendered/quickstart/compute.yml" in capsys.readouterr().out
    assert main(other) == 0
    assert "removed rendered/quickstart/compute.yml" in capsys.readouterr().out
    assert not (tmp_path / "rendered/quickstart/compute.yml").exists()
    assert main([*other, "--check"]) == 0


def test_a_job_ends_when_its_time_is_over():
    job = yaml.safe_load(documents(spec("compute.max_minutes=7"))["train.yml"])
    assert job["limits"] == {"timeout": 420}


def test_render_writes_what_check_then_finds_current(tmp_path, capsys):
    argv = ["render", "+experiment=quickstart", *CLOUD]
    assert main([*argv, "--check"]) == 4
    assert list(tmp_path.iterdir()) == []
    assert main(argv) == 0
    assert "az ml job create -f rendered/quickstart/train.yml" in capsys.readouterr().out
    assert main([*argv, "--check"]) == 0
    assert main([*argv, "--check", "training.lr=0.5"]) == 4
    stale = re.findall(r"stale rendered/quickstart/(\S+)", capsys.readouterr().out)
    assert stale == ["train.yml", "train.spec.json", "evaluate.yml"]  # which reads its output


def changed(code):
    (code / "trainers/transfer.py").write_text("another")


def missing(code):
    (code / "trainers/transfer.py").unlink()


def surplus(code):
    (code / "trainers/withdrawn.py").touch()


@pytest.mark.parametrize("spoil", [changed, missing, surplus])
def test_check_names_code_that_is_not_what_a_job_should_run(spoil, capsys):
    argv = ["render", "+experiment=quickstart", *CLOUD]
    assert main(argv) == 0
    code = Path("rendered/quickstart/code")
    (code / "trainers/__pycache__").mkdir()
    (code / "trainers/__pycache__/transfer.pyc").touch()  # who tries the job there leaves these
    spoil(code)
    capsys.readouterr()
    assert main([*argv, "--check"]) == 4
    name = "withdrawn" if spoil is surplus else "transfer"
    assert capsys.readouterr().out == f"stale rendered/quickstart/code/trainers/{name}.py\n"
    assert main(argv) == 0
    assert main([*argv, "--check"]) == 0


def test_a_job_gets_the_projects_kinds_over_the_installed_ones_and_nothing_hidden(
    tmp_path, monkeypatch
):
    own, installed = tmp_path / "own", tmp_path / "installed"
    write(
        installed,
        {
            "mlops_spec/spec.py": "",
            "mlops_spec/conf/config.yaml": "",  # where a wheel has it
            "mlops_spec/infra/main.tf": "",
            "trainers/transfer.py": "installed",
            "trainers/__pycache__/transfer.pyc": "",
        },
    )
    write(own, {"trainers/transfer.py": "own", "trainers/.env": "TOKEN=1", "trainers/.git/x": ""})
    write(own, {"trainers/conf/classes.txt": "", "photos/1.txt": ""})
    monkeypatch.setattr(kinds, "roots", lambda: [own, installed])
    snapshot.write(tmp_path / "code")
    assert {name: text for name, text in tree(tmp_path / "code").items() if text is not None} == {
        "mlops_spec/spec.py": b"",
        "trainers/conf/classes.txt": b"",
        "trainers/transfer.py": b"own",
    }


def test_a_local_spec_has_nothing_to_render(tmp_path, capsys):
    assert main(["render", "+experiment=quickstart"]) == 0
    assert "nothing to render" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []
