"""Values that are fine alone and impossible together are said before any work."""

from __future__ import annotations

import pytest
from project import CLOUD, at, check, experiment, refusal, started

MINE = "+experiment=mine"
QUICK = "+experiment=quickstart"
FILE = "conf/experiment/mine.yaml"
LINE = "command line"
TWINS = ["infra.clusters.cpu.cluster=cpus", "infra.clusters.gpu.cluster=CPUs"]
DEVOPS = ["infra.devops.organization=https://dev.azure.com/photos"]


@pytest.fixture(autouse=True)
def _project(tmp_path, monkeypatch):
    """An empty folder, in which nothing may start."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("mlops_spec.run.execute", started)


# name -> files, command line, the problems said
IMPOSSIBLE = {
    "a frozen backbone without weights": (
        experiment("training:\n  freeze:\n    mode: backbone"),
        [MINE],
        [(f"{FILE}:5", "training.freeze.mode", "model.weights=imagenet")],
    ),
    "weights that nobody published": (
        {},
        [QUICK, "model.weights=imagenet"],
        [(LINE, "model.weights", "model.weights=none")],
    ),
    "an input larger than the picture": (
        {},
        [QUICK, "model={resize: 8}"],
        [(LINE, "model.resize", "16, got 8")],
    ),
    "photographs that all are held out": (
        {"photos/ants/1.jpg": ""},
        [
            "name=x",
            "data=folder",
            "data.root=photos",
            "data.val_fraction=0.6",
            "data.test_fraction=0.4",
        ],
        [(LINE, "data.test_fraction", "nothing to train on")],
    ),
    "digits that all are held out": (
        {},
        [QUICK, "data.val_fraction=0.6", "data.test_fraction=0.6"],
        [(LINE, "data.test_fraction", "nothing to train on")],
    ),
    "a data set that is not there": (
        experiment(
            "data:\n  root: nowhere", head="defaults: [override /data: folder, _self_]\nname: m"
        ),
        [MINE],
        [(f"{FILE}:5", "data.root", "no folder nowhere")],
    ),
    "a cluster of no workspace": (
        {},
        [QUICK, "compute=azureml_cpu"],
        [(at("workspace/local", "kind"), "workspace.kind", "workspace=azure")],
    ),
    "a secret of this machine in a job": (
        {},
        ["render", QUICK, *CLOUD, "compute.environment.T='${secret:T}'"],
        [(LINE, "compute.environment.T", "can not read")],
    ),
    "a cluster whose least is more than its most": (
        experiment("compute:\n  min_nodes: 5"),
        ["render", MINE, *CLOUD],
        [(f"{FILE}:4", "compute.min_nodes", "at most compute.max_nodes, 2, got 5")],
    ),
    "more nodes than a cluster has": (
        {},
        ["render", QUICK, *CLOUD, "compute.nodes=4"],
        [(LINE, "compute.nodes", "at most compute.max_nodes, 2, got 4")],
    ),
    "a workspace elsewhere without machines": (
        {},
        ["plan", QUICK, "workspace=azure", CLOUD[2]],
        [(at("compute/local", "kind"), "compute.kind", "compute=azureml_cpu")],
    ),
    "a pipeline and what follows single jobs": (
        {},
        ["plan", QUICK, *CLOUD, "compute.shape=pipeline", "benchmark=majority", "target=local"],
        [
            (at("benchmark/majority", "kind"), "benchmark.kind", "compute.shape=jobs"),
            (at("target/local", "kind"), "target.kind", "compute.shape=jobs"),
        ],
    ),
    "a pipeline on machines that are nobody": (
        {},
        ["plan", QUICK, "compute=azureml_serverless", *CLOUD[1:], "compute.shape=pipeline"],
        [(at("compute/azureml_serverless", "cluster"), "compute.cluster", "compute.shape=jobs")],
    ),
    "a signature of a job that has no key": (
        {},
        ["plan", QUICK, *CLOUD, "compute.shape=pipeline", "lineage.sign_with='${secret:KEY}'"],
        [(LINE, "lineage.sign_with", "compute.shape=jobs")],
    ),
    "a workspace that is none, of which nothing else follows": (
        {},
        ["plan", QUICK, "workspace=emulater", "compute=azureml_cpu"],
        [(LINE, "workspace", "did you mean emulator?")],
    ),
    "a clock for single jobs": (
        {},
        ["plan", QUICK, *CLOUD, "compute.schedule='0 6 * * 1'"],
        [(LINE, "compute.schedule", "compute.shape=pipeline")],
    ),
    "a trusted key that is none": (
        experiment("lineage:\n  trusted_key: abc"),
        [MINE],
        [(f"{FILE}:4", "lineage.trusted_key", "base64 of its 32 bytes, or PEM, got 'abc'")],
    ),
    "Terraform for no workspace": (
        {},
        [QUICK, "infra=terraform"],
        [(at("infra/terraform", "kind"), "infra.kind", "workspace=azure")],
    ),
    "names that Azure does not take": (
        experiment("workspace:\n  names:\n    key_vault: kv--photos\n    keyvault: x"),
        [
            "plan",
            MINE,
            *CLOUD,
            "workspace.names.storage_account=ab",
            f"workspace.names.web_app={'w' * 61}",
        ],
        [
            (f"{FILE}:5", "workspace.names.key_vault", "single -, from a letter, got 'kv--photos'"),
            (f"{FILE}:6", "workspace.names.keyvault", "did you mean key_vault?"),
            (LINE, "workspace.names.storage_account", "too short: 3 to 24 characters, got 'ab'"),
            (LINE, "workspace.names.web_app", "too long: 2 to 60 characters"),
        ],
    ),
    "infrastructure that can not be made": (
        {},
        [
            "render",
            QUICK,
            *CLOUD,
            "infra=terraform_all",
            "infra.instance.vm_size=Standard_NC6",
            "infra.kubernetes={vm_size: Standard_NV12, min_nodes: 4}",
            "infra.clusters.gpu={vm_size: Standard_ND24rs, min_nodes: 3}",
            "budget.per_month=100",
        ],
        [
            (LINE, "infra.instance.vm_size", "is gone since 2023-09-06; Standard_NC4as_T4_v3"),
            (LINE, "infra.kubernetes.vm_size", "is gone since 2023-09-06"),
            (LINE, "infra.kubernetes.min_nodes", "at most infra.kubernetes.max_nodes, 3, got 4"),
            (LINE, "infra.clusters.gpu.vm_size", "is gone since 2023-09-06"),
            (LINE, "infra.clusters.gpu.min_nodes", "at most infra.clusters.gpu.max_nodes, 2"),
            (at("infra/terraform", "  organization"), "infra.devops.organization", "dev.azure.com"),
            (at("config", "  alert"), "budget.alert", "budget.alert=[you@example.org]"),
        ],
    ),
    "alerts of nobody": (
        {},
        [QUICK, "budget.per_month=50"],
        [(LINE, "budget.per_month", "infra=terraform")],
    ),
    "an infrastructure whose names meet": (
        {},
        [
            "render",
            QUICK,
            *CLOUD,
            "infra=terraform_all",
            *DEVOPS,
            "infra.devops.branch=refs/heads/main",
            "infra.devops.pipelines={a*b: ado/train.yml}",
            "workspace.names.jobs_identity=id-one",
            "workspace.names.web_identity=id-One",
        ],
        [
            (LINE, "infra.devops.branch", "should be the short name: main"),
            (LINE, "infra.devops.pipelines.a*b", "a name has none of"),
            (LINE, "workspace.names.jobs_identity", "need two names, got 'id-one' for both"),
        ],
    ),
    "two clusters of one name": (
        {},
        ["render", QUICK, *CLOUD, "infra=terraform_all", *DEVOPS, *TWINS],
        [(LINE, "infra.clusters.gpu.cluster", "infra.clusters.cpu is called CPUs, too")],
    ),
    "a sweep of it": (
        {},
        ["-m", QUICK, "workspace=azure", CLOUD[2], "seed=1,2"],
        [(at("compute/local", "kind"), "compute.kind", "compute=azureml_cpu")],
    ),
}


@pytest.mark.parametrize(("files", "argv", "expected"), IMPOSSIBLE.values(), ids=IMPOSSIBLE.keys())
def test_a_contradiction_is_named_with_its_place_and_a_way_out(files, argv, expected, capsys):
    check(refusal(files, argv, capsys), expected)
