"""What a spec says of its infrastructure: names, parts, variables, and the files that have them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from project import EXPERIMENTS, ROOT, SUBSCRIPTION, TERRAFORM, command_of, shipped_composer, write

from mlops_spec import check, ground, names
from mlops_spec.azure import checks, rights
from mlops_spec.azure.place import Place
from mlops_spec.cli import main
from mlops_spec.compose import Composer
from mlops_spec.errors import MlopsError, SpecError
from mlops_spec.render import terraform
from mlops_spec.validate import parse

QUICK = ["+experiment=quickstart", *TERRAFORM]
DEVOPS = "infra.devops.organization=https://dev.azure.com/photos"
ALL = [*QUICK, "infra=terraform_all", DEVOPS]
PARTS = ("instance", "kubernetes", "custom_vision", "web", "devops")


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("mlops_spec.compose.Composer", shipped_composer)


def spec(*words, composer=None):
    composition = (composer or shipped_composer()).compose(words)
    return parse(composition.values, composition.origins, composition.problems)


def variables(*words):
    return terraform.variables(spec(*words))


def test_a_workspace_alone_has_no_other_part():
    found = variables(*QUICK)
    assert [found[name] for name in PARTS] == [None] * 5
    assert list(found["clusters"]) == ["cpu"]
    assert (found["private"], found["budget"]) == (False, None)


def test_everything_is_described_by_the_sections_that_others_read():
    found = variables(*ALL, "compute.max_nodes=7", "budget.per_month=50", "budget.alert=[a@b.org]")
    assert all(found[name] for name in PARTS)
    assert found["clusters"]["cpu"]["max_nodes"] == 7, "the one that trains"
    assert found["clusters"]["gpu"]["vm_size"] == "Standard_NC4as_T4_v3", "as conf/compute has it"
    assert found["budget"] == {"amount": 50, "emails": ["a@b.org"]}
    assert found["devops"]["organization"] == "https://dev.azure.com/photos"


def test_a_kind_says_which_part_it_stands_on(tmp_path):
    kind = (ROOT / "trainers/benchmarks/none.py").read_text().replace('"none"', '"vision"')
    files = {"trainers/benchmarks/vision.py": f'{kind}\n\nINFRASTRUCTURE = ("custom_vision",)\n'}
    preset = "# yaml-language-server: $schema=x\n# Whoever asks.\nkind: vision\n"
    write(tmp_path, {**files, "conf/benchmark/vision.yaml": preset})
    found = spec(*QUICK, "benchmark=vision", composer=Composer())
    assert ground.parts(found) == {"custom_vision"}
    assert terraform.variables(found)["custom_vision"] == {"sku": "S0"}
    assert terraform.variables(found)["web"] is None


def test_a_kind_that_stands_on_nothing_known_is_told(monkeypatch):
    module = __import__("deployers.none", fromlist=["none"])
    monkeypatch.setattr(module, "INFRASTRUCTURE", ("kubernets",), raising=False)
    with pytest.raises(MlopsError, match="stands on 'kubernets'; did you mean kubernetes"):
        ground.parts(spec("+experiment=quickstart"))


def test_a_name_of_ones_own_is_everybodys():
    words = [*QUICK, "workspace.names.workspace=photos", "workspace.names.resource_group=ours"]
    found = variables(*words)["names"]
    assert (found["workspace"], found["resource_group"]) == ("photos", "ours")
    derived = variables(*QUICK)["names"]
    assert found["key_vault"] == derived["key_vault"]
    assert names.of("quickstart", spec(*words).workspace).workspace == "photos"


@pytest.mark.parametrize(("name", "rule"), names.RULES.items())
def test_a_rule_refuses_what_is_shorter_longer_or_written_otherwise(name, rule):
    least, most, *_ = rule
    assert "too short" in names.refused(name, "a" * (least - 1))
    assert "too long" in names.refused(name, "a" * (most + 1))
    assert "should be" in names.refused(name, "a/b" + "c" * least)
    assert names.refused(name, "a" * least) == ""
    assert names.refused(name, "a" * most) == ""


def test_the_store_of_states_is_one_for_all_experiments_of_a_prefix():
    one, other = (
        terraform.documents(spec(*QUICK, f"name={name}")) for name in ("quickstart", "other")
    )
    (bootstrap,) = (path for path in one if path.parent.name == "bootstrap")
    assert one[bootstrap] == other[bootstrap]
    elsewhere = terraform.documents(spec(*QUICK, "workspace.location=northeurope"))
    assert bootstrap not in elsewhere, "one experiment leaves the store of another alone"
    backends = [
        json.loads(made[Path(f"infra/{name}.backend.json")])
        for made, name in ((one, "quickstart"), (other, "other"))
    ]
    assert [backend.pop("key") for backend in backends] == [
        "quickstart.tfstate",
        "other.tfstate",
    ]
    assert backends[0] == backends[1]
    assert (
        backends[0]["storage_account_name"]
        == json.loads(one[bootstrap])["names"]["storage_account"]
    )


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_render_of_every_experiment_is_what_check_finds_current(name, tmp_path, capsys):
    data = shipped_composer().compose([f"+experiment={name}"]).values["data"]
    cloud = [word for word in TERRAFORM if not word.startswith("compute=")]  # its own machines
    words = ["render", *command_of(name, tmp_path, data), *cloud]
    assert main([*words, "--check"]) == 4
    assert main(words) == 0
    assert json.loads(Path(f"infra/{name}.tfvars.json").read_text())["tags"]["experiment"] == name
    assert main([*words, "--check"]) == 0
    capsys.readouterr()
    assert main([*words, "--check", "workspace.location=northeurope"]) == 4
    assert f"stale infra/{name}.tfvars.json" in capsys.readouterr().out


def test_a_folder_without_terraform_is_given_ours_which_then_is_its_own(tmp_path, capsys):
    assert main(["render", *QUICK]) == 0
    store = names.state(spec(*QUICK).workspace).storage_account
    ours = f"-state={store}.tfstate -var-file={store}.tfvars.json"
    said = capsys.readouterr().out
    assert [
        line.strip() for line in said.splitlines() if "TF_DATA" in line or " -chdir" in line
    ] == [
        "terraform -chdir=infra/bootstrap init  # once: it keeps the states of all",
        f"terraform -chdir=infra/bootstrap apply {ours}",
        "export TF_DATA_DIR=.terraform/quickstart",
        "terraform -chdir=infra init -backend-config=quickstart.backend.json",
        "terraform -chdir=infra apply -var-file=quickstart.tfvars.json",
    ]
    shipped = laid(ROOT / "infra")
    later = {name for name in shipped if "devops" in name and not name.startswith("variables")}
    assert later == {"main.devops.tf", "tests/devops.tftest.hcl"}
    assert laid(tmp_path / "infra") == {n: t for n, t in shipped.items() if n not in later}
    Path("infra/versions.tf").write_text("# changed here")
    Path("infra/outputs.tf").unlink()
    assert main(["render", *QUICK, "--check"]) == 0
    assert main(["render", *QUICK]) == 0
    assert Path("infra/versions.tf").read_text() == "# changed here"
    assert not Path("infra/outputs.tf").exists()
    assert main(["render", *ALL]) == 0  # of Azure DevOps nothing is there before somebody wants it
    assert later <= laid(tmp_path / "infra").keys()
    assert not Path("infra/outputs.tf").exists()


def laid(folder):
    """The Terraform code of a folder: path -> content."""
    kept = (".tf", ".hcl", ".tfvars")
    paths = (path for path in folder.rglob("*") if path.suffix in kept)
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def test_a_state_on_this_machine_is_an_override_that_goes_when_it_is_not_wanted(tmp_path, capsys):
    override = tmp_path / "infra/backend_override.tf.json"
    assert main(["render", *QUICK, "infra.remote_state=false"]) == 0
    assert json.loads(override.read_text()) == {"terraform": {"backend": {"local": {}}}}
    backend = json.loads((tmp_path / "infra/quickstart.backend.json").read_text())
    assert backend == {"path": "quickstart.tfstate"}
    assert main(["render", *QUICK, "--check"]) == 4
    assert "stale infra/backend_override.tf.json" in capsys.readouterr().out
    assert main(["render", *QUICK]) == 0
    assert not override.exists()


@pytest.mark.parametrize(
    ("seconds", "text"), [(600, "PT10M"), (90, "PT1M30S"), (3600, "PT1H"), (7325, "PT2H2M5S")]
)
def test_durations_are_written_as_azure_writes_them(seconds, text):
    clusters = variables(*QUICK, f"compute.idle_seconds={seconds}")["clusters"]
    assert clusters["cpu"]["idle"] == text


def test_the_emulator_needs_no_terraform(capsys):
    assert main(["plan", *QUICK, "workspace=emulator"]) == 0
    assert "infra" not in capsys.readouterr().out


def test_nothing_is_asked_of_terraform_where_nobody_wants_it(monkeypatch, capsys):
    monkeypatch.setattr("subprocess.Popen", None)
    assert main(["plan", *QUICK, "infra=none"]) == 0
    assert "infra" not in capsys.readouterr().out


def test_a_section_written_in_another_order_is_the_same_infrastructure():
    both = ["infra=terraform_all", DEVOPS]
    one, other = (
        json.dumps(variables(*QUICK, *both, f"compute={name}")["clusters"])
        for name in ("azureml_cpu", "azureml_gpu")
    )
    assert one == other


def test_check_says_what_terraform_lacks(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(check, "Composer", shipped_composer)
    monkeypatch.setattr("mlops_spec.azure.checks.checks", lambda _: ())  # Azure is not asked
    pipelines = "infra.devops.pipelines={train: ado/train.yml}"
    assert main(["check", *ALL, pipelines]) == 4
    rows = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert "fail terraform infra=terraform needs Terraform, and there is none on the PATH" in rows
    assert any(
        row.startswith("fail infra there is no infra/quickstart.tfvars.json") for row in rows
    )
    assert any(
        "there is no ado/train.yml, which infra.devops.pipelines.train runs" in row for row in rows
    )
    assert any("fail login nobody is logged in to Azure" in row for row in rows)


def test_what_two_experiments_need_is_the_difference_of_their_variables():
    small = variables(*QUICK)
    words = ["compute=azureml_gpu", "infra.parts=[web]", "infra.private=true"]
    large = variables("+experiment=quickstart", "name=other", *TERRAFORM, *words)
    assert {name for name in small if small[name] != large[name]} == {
        "tags",
        "names",
        "private",
        "clusters",
        "web",
    }
    assert small.keys() == large.keys()
    assert small["subscription_id"] == SUBSCRIPTION


def test_check_looks_for_other_machines_in_the_region_and_misses_no_workspace(monkeypatch):
    found = spec(*ALL, "compute=azureml_cpu")
    place = Place.of(found)
    has = [{"name": "STANDARD_NC4AS_T4_V3"}]
    monkeypatch.setattr("mlops_spec.azure.questions.sizes", lambda *_: has)
    told = dict(checks._sizes(found, place, "westeurope"))
    assert told["westeurope has Standard_NC4as_T4_v3, for infra.clusters.gpu.vm_size"] == ""
    cure = "choose another infra.instance.vm_size, or workspace.location"
    assert told["westeurope has no Standard_DS3_v2"] == cure
    assert len(told) == 2, "what trains is looked at with its quota; Kubernetes has another list"
    assert checks._workspace(place, exists=False, made=True).cure == ""
    assert "infra=terraform" in checks._workspace(place, exists=False, made=False).cure


def test_who_has_terraform_need_not_make_clusters():
    right = "Microsoft.MachineLearningServices/workspaces/computes/write"
    assert right in rights.needed(spec(*QUICK, "infra=none"))
    assert right not in rights.needed(spec(*QUICK))


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("workspace.location='West Europe'", "a region's short name, such as westeurope"),
        ("workspace.subscription_id=mine", "an id such as 0123"),
        ("workspace.prefix=Photos", "a letter first"),
        ("compute.vm_size=DS3_v2", "such as Standard_DS3_v2"),
        ("compute.schedule=daily", "five fields of cron"),
        ("infra.web.sku=F1", "such as B1"),
        ("infra.web.health=healthz", "starts with /"),
        ("infra.devops.approvers=' '", "a group of the project"),
        ("budget.alert=[me]", "such as team@example.com"),
    ],
)
def test_a_text_of_another_shape_is_told_its_shape_in_words(word, said):
    with pytest.raises(SpecError) as refused:
        spec(*ALL, "compute=azureml_cpu", word)
    (problem,) = refused.value.problems
    assert problem.key.startswith(word.partition("=")[0])
    assert said in problem.message
    assert "^" not in problem.message, "nobody reads a pattern"
