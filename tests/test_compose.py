"""Our composition is Hydra's, with the place of every value, an overlay and cheap sweeps added."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf
from project import (
    CONF,
    EXPERIMENTS,
    at,
    every_option,
    experiment,
    shipped,
    shipped_composer,
    write,
)

from mlops_spec.compose import Composer
from mlops_spec.origins import COMMAND_LINE, Setting

QUICK = "+experiment=quickstart"


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture(name="composer")
def _composer():
    return shipped_composer()


def by_hydra(overrides, conf=CONF):
    """What Hydra itself composes, resolved."""
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(conf), version_base="1.3"):
        config = compose("config", list(overrides))
    return OmegaConf.to_container(config, resolve=True)


def composed(composer, overrides):
    composition = composer.compose(overrides)
    assert composition.problems == ()
    return composition


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_shipped_experiment_is_composed_as_hydra_does(composer, name):
    expected = by_hydra([f"+experiment={name}"])
    assert composed(composer, [f"+experiment={name}"]).values == expected
    assert composed(composer, [f"experiment={name}"]).values == expected


COMBINATIONS = [
    [QUICK, "training.lr=1", "training.lr=2e-3"],
    [QUICK, "model.head.hidden=12", "model=resnet18"],
    ["training.lr=0.5", QUICK, "model.head=null", "~training.epochs=16"],
    [QUICK, "~benchmark"],
    [QUICK, "~benchmark=none", "~training.augment.scale"],
    [QUICK, "+model.extra={a: 1, b: [1, {c: null}]}", "++training.lr=1e-4", "++new.key=x"],
    [QUICK, "training.augment={rotation: 0}", "training.augment.scale=[0.1,0.2]"],
    [QUICK, "training.augment.scale.1=0.5"],
    [QUICK, "registered_model='${name} of ${training.epochs}'", "model.resize=${.input_size}"],
    [QUICK, "+compute.environment.A='1'", "+compute.environment.B=yes", 'name="a, b"'],
    [*every_option()[0], "name=first", "data.val_fraction=0.5"],
    *([*options, "name=x"] for options in every_option()),
]


@pytest.mark.parametrize("overrides", COMBINATIONS, ids=" ".join)
def test_overrides_are_composed_as_hydra_does(composer, overrides):
    assert composed(composer, overrides).values == by_hydra(overrides)


@pytest.mark.parametrize(
    "override", ["seed.x=1", "~training.lr=7", "+seed.x=1", "+data.root.x.y=1"]
)
def test_an_override_that_hydra_refuses_is_a_problem_never_silence(composer, override):
    problems = composer.compose([QUICK, "data=folder", override]).problems
    key = override.strip("~+").partition("=")[0]
    assert [(problem.where, problem.key) for problem in problems] == [(COMMAND_LINE, key)]


def leaf_lines(origins):
    """Each setting in a file, with the text of the line that it names."""
    for key, settings in origins.items():
        for setting in settings:
            file, _, line = setting.where.rpartition(":")
            yield key, Path(file).read_text("utf-8").splitlines()[int(line) - 1]


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_origin_names_a_line_that_sets_its_key(composer, name):
    composition = composed(composer, [f"+experiment={name}"])
    lines = list(leaf_lines(composition.origins))
    assert len(lines) > 40
    for key, text in lines:
        assert f"{key.rpartition('.')[2]}:" in text


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_value_in_force_has_an_origin_that_holds_it(composer, name):
    composition = composed(composer, [f"+experiment={name}"])
    for key, value in OmegaConf.to_container(OmegaConf.create(composition.values)).items():
        for leaf, held in flat(key, value):
            last = composition.origins[leaf][-1].value
            assert held == last or "${" in str(last)


def flat(key, value):
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from flat(f"{key}.{name}", inner)
    else:
        yield key, value


def test_a_value_tells_who_set_it_and_what_it_shadowed(composer):
    composition = composed(composer, [QUICK, "training.lr=0.5"])
    assert composition.origins["training.lr"] == [
        Setting(0.003, at("training/transfer", "lr:")),
        Setting(0.01, at("experiment/quickstart", "  lr:")),
        Setting(0.5, COMMAND_LINE),
    ]


def test_a_section_set_on_the_command_line_is_the_origin_of_all_in_it(composer):
    composition = composed(composer, [QUICK, "model={backbone: other, head: {hidden: 3}}"])
    assert composition.origins["model.backbone"][-1] == Setting("other", COMMAND_LINE)
    assert composition.origins["model.head.hidden"][-1] == Setting(3, COMMAND_LINE)
    assert composition.origins["model.channels"][-1].where == at("model/small_cnn", "channels:")


def test_a_preset_that_is_not_chosen_shadows_nothing(composer):
    composition = composed(composer, [QUICK, "model=resnet18"])
    places = [setting.where for setting in composition.origins["model.backbone"]]
    assert places == [at("model/resnet18", "backbone:")]
    assert composition.choices["model"] == "resnet18"
    assert composition.choices["experiment"] == "quickstart"


SWEEPS = [
    ["seed=1,2,3"],
    [QUICK, "seed=1,2", "name=x", "training.lr=0.1,0.01,0.001"],
    ["training.lr=0.1,0.2", "seed=range(1,4)"],
    ["seed=range(4)", "model=small_cnn,resnet18"],
    ["seed=choice(3,1,2)", "training.epochs=range(10,0,-4)"],
    ["seed=sort(3,1,2)", "training.lr=sort(0.1,0.3,reverse=true)"],
    ["seed=tag(a,b,choice(1,2))"],
    ["model=glob(*)"],
    ["+experiment=glob(*)", "seed=1,2"],
    ["data=glob(*,exclude=f*)"],
    ["registered_model='a b','c,d'", "training.augment.scale=[1,2],[3,4]"],
    ["training.schedule=null,cosine", "+x={a:1},{a:2}"],
    ["seed=3"],
]


@pytest.mark.parametrize("overrides", SWEEPS, ids=" ".join)
def test_a_sweep_has_hydra_s_members_in_hydra_s_order(composer, overrides):
    members = [list(member) for member in composer.members(overrides)]
    parser = OverridesParser.create(composer._loader)
    parsed = parser.parse_overrides(overrides)
    (expected,) = BasicSweeper.split_arguments(parsed, max_batch_size=None)
    assert [parsed_values(m) for m in members] == [parsed_values(e) for e in expected]


def parsed_values(member):
    overrides = OverridesParser.create().parse_overrides(member)
    return [(o.get_key_element(), o.value()) for o in overrides]


def test_a_bare_experiment_is_swept_like_the_one_with_a_plus(composer):
    members = composer.members(["experiment=glob(*)"])
    names = [composed(composer, member).values["name"] for member in members]
    assert names == EXPERIMENTS


def test_files_are_merged_once_for_each_distinct_choice_of_groups(composer, monkeypatch):
    asked = []
    ask = composer._loader.compute_defaults_list

    def counted(*arguments, **more):
        asked.append(arguments)
        return ask(*arguments, **more)

    monkeypatch.setattr(composer._loader, "compute_defaults_list", counted)
    monkeypatch.setattr(composer, "_layers", {})
    overrides = ["name=x", "model=small_cnn,resnet18", "seed=range(20)", "training.lr=0.1,0.2"]
    members = list(composer.members(overrides))
    found = [composed(composer, member).values for member in members]
    assert len(found) == 80
    assert len(asked) == 2
    assert {values["model"]["backbone"] for values in found} == {"small_cnn", "resnet18"}


def test_members_do_not_see_each_other_s_values(composer):
    plain = composed(composer, [QUICK])
    other = composed(composer, [QUICK, "+model.x=1", "~training.lr", "training.augment.scale=[]"])
    other.values["model"]["head"]["hidden"] = 99
    again = composed(composer, [QUICK])
    assert again == plain
    assert again.values == by_hydra([QUICK])


OWN = {
    "conf/training/transfer.yaml": shipped("training/transfer").replace("lr: 0.003", "lr: 0.125"),
    "conf/model/tiny.yaml": shipped("model/small_cnn").replace("hidden: 0", "hidden: 7"),
    "conf/extra/one.yaml": "a: 1\nb: {c: 2}\n",
    "conf/target/nested.yaml": "# @package compute\nenvironment:\n  NESTED: x\n",
    **experiment(
        "training:\n  epochs: 3",
        head="defaults: [optional /extra: absent, override /model: tiny, _self_]\nname: mine",
    ),
}


@pytest.mark.parametrize(
    "overrides",
    [
        ["experiment=mine"],
        [QUICK],
        [QUICK, "model=tiny", "+extra=one", "extra.b.c=3"],
        ["name=x", "target=nested"],
    ],
    ids=" ".join,
)
def test_a_project_s_conf_lies_over_the_shipped_one(tmp_path, overrides):
    write(tmp_path, OWN)
    merged = tmp_path / "merged"
    shutil.copytree(CONF, merged)
    shutil.copytree(tmp_path / "conf", merged, dirs_exist_ok=True)
    expected = by_hydra([f"+{o}" if o.startswith("experiment") else o for o in overrides], merged)
    values = composed(Composer(), overrides).values
    assert values == expected
    assert values["training"]["lr"] == (0.01 if QUICK in overrides else 0.125)


def test_origins_in_a_project_are_paths_below_it(tmp_path):
    write(tmp_path, OWN)
    origins = composed(Composer(), ["experiment=mine"]).origins
    line = at("training/transfer", "lr:").rpartition(":")[2]
    assert origins["training.lr"] == [Setting(0.125, f"conf/training/transfer.yaml:{line}")]
    assert origins["training.epochs"][-1] == Setting(3, "conf/experiment/mine.yaml:5")
    assert origins["seed"][-1].where == at("config", "seed:")


def test_the_options_of_a_group_are_the_project_s_and_the_shipped_ones(tmp_path):
    write(tmp_path, OWN)
    assert set(Composer().groups["experiment"]) == {*EXPERIMENTS, "mine"}
    assert "tiny" in Composer().groups["model"]
    assert "extra" in Composer().groups


def test_a_project_may_bring_a_whole_config_yaml_of_its_own(tmp_path):
    write(tmp_path, {"conf/config.yaml": shipped("config").replace("seed: 0", "seed: 41")})
    composition = composed(Composer(), [QUICK])
    assert composition.values["seed"] == 41
    assert composition.origins["seed"][-1].where.startswith("conf/config.yaml:")


def test_the_defaults_list_of_a_project_s_file_counts_not_that_of_the_shipped_one(tmp_path):
    text = shipped("experiment/quickstart").replace("/model: small_cnn", "/model: resnet18")
    write(tmp_path, {"conf/experiment/quickstart.yaml": text})
    composition = composed(Composer(), [QUICK])
    assert composition.choices["model"] == "resnet18"
    assert composition.values["model"]["backbone"] == "resnet18"
