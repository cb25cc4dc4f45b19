"""Whatever is wrong with a spec is said at once, with its place and a cure, before any work."""

from __future__ import annotations

import pytest
from project import at, check, experiment, refusal, shipped, started

MINE = "+experiment=mine"
QUICK = "+experiment=quickstart"
FILE = "conf/experiment/mine.yaml"
LINE = "command line"
CONFIG = shipped("config")
LAST = len(CONFIG.splitlines()) + 1
MODEL = shipped("model/small_cnn")


@pytest.fixture(autouse=True)
def _project(tmp_path, monkeypatch):
    """An empty folder, in which nothing may start."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("mlops_spec.run.execute", started)


# name -> files, command line, the problems said
MISSPELT = {
    "in config.yaml": (
        {"conf/config.yaml": CONFIG + "sede: 1\n"},
        [QUICK],
        [(f"conf/config.yaml:{LAST}", "sede", "did you mean seed?")],
    ),
    "in a preset": (
        {"conf/model/small_cnn.yaml": MODEL + "weihgts: none\n"},
        [QUICK],
        [("conf/model/small_cnn.yaml:13", "model.weihgts", "did you mean weights?")],
    ),
    "deep in a preset": (
        {"conf/model/small_cnn.yaml": MODEL + "  droput: 0.1\n"},
        [QUICK],
        [("conf/model/small_cnn.yaml:13", "model.head.droput", "did you mean dropout?")],
    ),
    "in a preset, which so lacks the right one": (
        {"conf/model/small_cnn.yaml": MODEL.replace("channels:", "chanels:")},
        [QUICK],
        [
            ("conf/model/small_cnn.yaml:5", "model.chanels", "did you mean channels?"),
            ("conf/model/small_cnn.yaml:", "model.channels", "required"),
        ],
    ),
    "in an experiment": (
        experiment("training:\n  freez: none"),
        [MINE],
        [(f"{FILE}:4", "training.freez", "did you mean freeze?")],
    ),
    "a section in an experiment": (
        experiment("trainig:\n  lr: 0.1"),
        [MINE],
        [(f"{FILE}:3", "trainig", "did you mean training?")],
    ),
    "an inner section in an experiment": (
        experiment("evaluation:\n  gat:\n    alpha: 0.1"),
        [MINE],
        [(f"{FILE}:4", "evaluation.gat", "did you mean gate?")],
    ),
    "on the command line": (
        {},
        [QUICK, "training.lrr=1"],
        [(LINE, "training.lrr", "did you mean lr?")],
    ),
    "a section on the command line": (
        {},
        [QUICK, "trainig.lr=1"],
        [(LINE, "trainig", "did you mean training?")],
    ),
    "an inner section on the command line": (
        {},
        [QUICK, "compute.environmet.A=b"],
        [(LINE, "compute.environmet", "did you mean environment?")],
    ),
    "a group on the command line": (
        {},
        [QUICK, "modle=resnet18"],
        [(LINE, "modle", "did you mean model?")],
    ),
    "in the wrong section": (
        {},
        [QUICK, "lr=0.1"],
        [(LINE, "lr", "did you mean training.lr?")],
    ),
    "a kind in an experiment": (
        experiment("target:\n  kind: nnoe"),
        [MINE],
        [(f"{FILE}:4", "target.kind", "did you mean none?")],
    ),
    "a kind on the command line": (
        {},
        [QUICK, "training.kind=tranfser"],
        [(LINE, "training.kind", "did you mean transfer?")],
    ),
    "a kind of the engine's own": (
        experiment("compute:\n  kind: locla"),
        [MINE],
        [(f"{FILE}:4", "compute.kind", "did you mean local?")],
    ),
    "a kind inside a section": (
        {},
        [QUICK, "evaluation.gate.kind=mcnemr"],
        [(LINE, "evaluation.gate.kind", "did you mean mcnemar?")],
    ),
    "a kind that is a path": (
        {},
        [QUICK, "target.kind=../x"],
        [(LINE, "target.kind", "known: ")],
    ),
}
WRONG = {
    "a word for a number": (
        {},
        [QUICK, "training.epochs=ten"],
        [(LINE, "training.epochs", "'ten'")],
    ),
    "a fraction for a whole number": ({}, [QUICK, "seed=1.5"], [(LINE, "seed", "1.5")]),
    "yes for a number": (
        experiment("training:\n  epochs: yes"),
        [MINE],
        [(f"{FILE}:4", "training.epochs", "integer")],
    ),
    "a word for a switch": (
        experiment("training:\n  deterministic: maybe"),
        [MINE],
        [(f"{FILE}:4", "training.deterministic", "'maybe'")],
    ),
    "nothing for a section": (experiment("model:"), [MINE], [(f"{FILE}:3", "model", "")]),
    "a number for a section": ({}, [QUICK, "training=7"], [(LINE, "training", "kind")]),
    "a word for a section": ({}, [QUICK, "evaluation.gate=floor"], [(LINE, "evaluation.gate", "")]),
    "a key below a number": ({}, [QUICK, "seed.x=1"], [(LINE, "seed.x", "")]),
    "out of range": (
        {},
        [QUICK, "training.lr=-1"],
        [(LINE, "training.lr", "greater than 0, got -1")],
    ),
    "not a number": ({}, [QUICK, "training.lr=nan"], [(LINE, "training.lr", "nan")]),
    "none of the choices": (
        experiment("training:\n  optimizer: adm"),
        [MINE],
        [(f"{FILE}:4", "training.optimizer", "'adamw'")],
    ),
    "too short a list": (
        {},
        [QUICK, "training.augment.scale=[0.5]"],
        [(LINE, "training.augment.scale.1", "")],
    ),
    "a deleted key": ({}, [QUICK, "~training.lr"], [(LINE, "training.lr", "required")]),
    "a deleted group": ({}, [QUICK, "~data"], [(LINE, "data", "required")]),
    "a key to delete that is not there": (
        {},
        [QUICK, "~nope"],
        [(LINE, "nope", "nothing to delete")],
    ),
    "a required value": (
        {},
        ["name=x", "data=folder"],
        [(at("data/folder", "root:"), "data.root", "data.root=VALUE")],
    ),
    "no experiment and no name": (
        {},
        ["seed=1"],
        [(at("config", "name:"), "name", "required")],
    ),
    "a kind whose keys are not there": (
        {},
        [QUICK, "evaluation=floor", "evaluation.gate.kind=mcnemar"],
        [
            (at("experiment/quickstart", "  gate:"), f"evaluation.gate.{key}", "required")
            for key in ("alpha", "margin", "power")
        ],
    ),
    "a floor of what is not measured": (
        {},
        [QUICK, "evaluation.gate.floors.micro_f1=0.5"],
        [(LINE, "evaluation.gate.floors.micro_f1", "images of one label have none")],
    ),
    "several, on several places": (
        experiment("seed: -1\ntraining:\n  epochs: ten"),
        [MINE, "training.lr=0", "training.momentum=1"],
        [
            (f"{FILE}:3", "seed", "-1"),
            (f"{FILE}:5", "training.epochs", "'ten'"),
            (LINE, "training.lr", "greater than 0"),
            (LINE, "training.momentum", "less than 1"),
        ],
    ),
}
UNKNOWN = {
    "experiment": (
        {},
        ["+experiment=quikstart"],
        [(LINE, "experiment", "did you mean quickstart?")],
    ),
    "option": ({}, [QUICK, "model=resnet81"], [(LINE, "model", "did you mean resnet18?")]),
    "option in an experiment": (
        experiment("seed: 1", head="defaults: [override /model: smal_cnn, _self_]"),
        [MINE],
        [(f"{FILE}:2", "defaults", "small_cnn")],
    ),
    "group in an experiment": (
        experiment("seed: 1", head="defaults: [override /modle: small_cnn, _self_]"),
        [MINE],
        [(f"{FILE}:2", "defaults", "modle")],
    ),
    "form of a defaults list": (
        experiment("seed: 1", head="defaults: 3"),
        [MINE],
        [(f"{FILE}:2", "defaults", "list")],
    ),
    "group": ({}, [QUICK, "modell/x=y"], [(LINE, "modell/x", "unknown group")]),
    "interpolation": (
        experiment("model:\n  backbone: ${nope}"),
        [MINE],
        [(f"{FILE}:4", "model.backbone", "'nope'")],
    ),
    "interpolation of a number": ({}, [QUICK, "seed=${nope}"], [(LINE, "seed", "'nope'")]),
    "function in an interpolation": ({}, [QUICK, "seed=${nope:1}"], [(LINE, "seed", "nope")]),
    "variable in the environment": (
        {},
        [QUICK, "data.kind=${oc.env:NO_SUCH_VARIABLE}"],
        [(LINE, "data.kind", "NO_SUCH_VARIABLE")],
    ),
    "setting of Hydra": ({}, [QUICK, "hydra.job.name=x"], [(LINE, "hydra.job.name", "no effect")]),
    "group given twice": ({}, [QUICK, "+model=resnet18"], [(LINE, "model", "model=resnet18")]),
}
ALL = {
    f"{family}: {name}": case
    for family, cases in {
        "misspelt": MISSPELT,
        "wrong": WRONG,
        "unknown": UNKNOWN,
    }.items()
    for name, case in cases.items()
}


@pytest.mark.parametrize(("files", "argv", "expected"), ALL.values(), ids=ALL.keys())
def test_a_bad_spec_is_answered_with_exactly_its_problems_and_their_places(
    files, argv, expected, capsys
):
    check(refusal(files, argv, capsys), expected)
