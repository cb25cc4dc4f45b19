"""Frozen weights stay, whatever the optimizer; what is released learns at the rate of its depth."""

import pytest
import torch
from small_training import settings
from torch import nn

from mlops_spec.compose import Composer
from mlops_spec.errors import SpecError, StepError
from mlops_spec.validate import parse
from trainers._torch import backbones, networks, optimization
from trainers._torch.freezing import freeze, frozen_children
from trainers._torch.vision import torchvision

PARTS = (True, True, False, True, True, False)  # has weights: like the network's below
BACKBONES = ("resnet18", "resnext50_32x4d", "vgg11", "densenet121", "efficientnet_b0", "vit_b_16")


def network() -> networks.Network:
    torch.manual_seed(0)
    layers = [nn.Linear(4, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 4), nn.BatchNorm1d(4)]
    return networks.Network(nn.Sequential(*layers, nn.Dropout(0.5)), nn.Linear(4, 2))


def learn(made, spec, *, epoch, optimizer=None) -> set[str]:
    """Trains for an epoch; the parts that changed in weights or statistics."""
    freeze(made, spec.freeze, epoch)
    optimizer = optimizer or optimization.optimizer(spec, made)
    before = {name: value.clone() for name, value in made.state_dict().items()}
    for _ in range(3):
        optimizer.zero_grad()
        made(torch.randn(8, 4)).square().sum().backward()
        optimizer.step()
    after = made.state_dict()
    changed = [name for name in before if not torch.equal(before[name], after[name])]
    return {name.rpartition(".")[0].removeprefix("backbone.") for name in changed}


@pytest.mark.parametrize(
    ("changes", "by_epoch"),
    [
        ({"mode": "none"}, [0, 0, 0]),
        ({"mode": "backbone"}, [6, 6, 6]),
        ({"mode": "first", "children": 3}, [3, 3, 3]),
        ({"mode": "first", "children": 6}, [6, 6, 6]),
        ({"mode": "gradual", "unfreeze_every": 1}, [6, 4, 3, 1, 0, 0]),
        ({"mode": "gradual", "unfreeze_every": 2}, [6, 6, 4, 4, 3, 3, 1, 1, 0, 0]),
    ],
    ids=str,
)
def test_how_much_is_frozen_follows_from_the_epoch(changes, by_epoch):
    spec = settings(freeze=changes).freeze
    assert [frozen_children(spec, PARTS, epoch) for epoch in range(len(by_epoch))] == by_epoch


def test_more_children_than_there_are_is_said_with_their_number():
    spec = settings(freeze={"mode": "first", "children": 7}).freeze
    with pytest.raises(StepError, match="the backbone has 6 children"):
        frozen_children(spec, PARTS, 0)


@pytest.mark.parametrize("kind", ["adam", "adamw", "sgd"])
@pytest.mark.parametrize(
    ("changes", "epoch", "learned"),
    [
        ({"mode": "none"}, 0, "0 1 3 4 head"),
        ({"mode": "backbone"}, 5, "head"),
        ({"mode": "first", "children": 2}, 5, "3 4 head"),
        ({"mode": "gradual"}, 0, "head"),
        ({"mode": "gradual"}, 2, "3 4 head"),
    ],
    ids=str,
)
def test_what_is_frozen_moves_neither_in_weights_nor_in_statistics(kind, changes, epoch, learned):
    spec = settings(freeze=changes, optimizer=kind, weight_decay=0.1, lr=0.1)
    assert learn(network(), spec, epoch=epoch) == {*learned.split()}


@pytest.mark.parametrize("kind", ["adam", "adamw", "sgd"])
def test_momentum_and_decay_of_one_optimizer_leave_alone_what_is_not_released_yet(kind):
    spec = settings(freeze={"mode": "gradual"}, optimizer=kind, weight_decay=0.1, lr=0.1)
    made = network()
    optimizer = optimization.optimizer(spec, made)
    learned = [learn(made, spec, epoch=epoch, optimizer=optimizer) for epoch in range(5)]
    released = [set(), {"4"}, {"3", "4"}, {"1", "3", "4"}, {"0", "1", "3", "4"}]
    assert learned == [{"head", *parts} for parts in released]


def test_a_gradient_left_from_before_is_dropped_with_the_freezing():
    made = network()
    made(torch.randn(8, 4)).sum().backward()
    freeze(made, settings(freeze={"mode": "backbone"}).freeze, 0)
    assert [p.grad for p in made.backbone.parameters()] == [None] * 8
    assert made.head.weight.grad is not None


@pytest.mark.parametrize("mode", ["none", "backbone"])
def test_what_learns_is_in_training_mode_though_it_was_built_in_the_other(mode):
    made = network().eval()
    freeze(made, settings(freeze={"mode": mode}).freeze, 0)
    assert {m.training for m in made.backbone.modules()} == {mode == "none"}
    assert made.head.training


class WithToken(nn.Module):
    """A backbone with a weight that is in none of its children."""

    def __init__(self) -> None:
        super().__init__()
        self.token = nn.Parameter(torch.ones(1))
        self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x):
        return self.second(self.first(x)) + self.token


@pytest.mark.parametrize(
    ("epoch", "learned"),
    [(0, "head"), (1, "head second"), (2, "head second first backbone")],
    ids=str,
)
def test_a_backbone_s_own_weights_are_frozen_as_long_as_anything_is(epoch, learned):
    made = networks.Network(WithToken(), nn.Linear(4, 2))
    spec = settings(freeze={"mode": "gradual"}, lr=0.1)
    assert learn(made, spec, epoch=epoch) == {*learned.split()}


def test_where_one_child_holds_all_weights_its_children_are_meant():
    features = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4))
    backbone = nn.Sequential(features, nn.Flatten())
    assert networks.children(backbone) == [*features]
    assert networks.children(nn.Sequential(nn.Linear(4, 4))) != []


@pytest.mark.parametrize("decay", [1.0, 0.5])
def test_the_deeper_a_child_the_lower_its_learning_rate(decay):
    made = network()
    groups = optimization.parameter_groups(made, 0.1, decay)
    assert [group["lr"] for group in groups] == [0.1 * decay**depth for depth in range(5)]
    parts = [made.head, *(made.backbone[i] for i in (4, 3, 1, 0))]
    for group, part in zip(groups, parts, strict=True):
        assert [*map(id, group["params"])] == [*map(id, part.parameters())]


@pytest.mark.parametrize("name", BACKBONES)
def test_every_weight_is_in_one_group_whatever_the_backbone(name):
    with torch.device("meta"):
        backbone = torchvision.models.get_model(name)
        backbones._drop_classifier(backbone)
        made = networks.Network(backbone, nn.Linear(4, 2))
    groups = optimization.parameter_groups(made, 0.1, 0.5)
    found = [id(weight) for group in groups for weight in group["params"]]
    assert sorted(found) == sorted(map(id, made.parameters()))
    assert len(groups) > 2


@pytest.mark.parametrize("mode", ["backbone", "first", "gradual"])
def test_freezing_what_nobody_trained_is_refused(mode):
    said = refusal(f"training.freeze.mode={mode}", "model=small_cnn")
    assert "training.freeze.mode" in said
    assert "model.weights=imagenet" in said
    parsed(f"training.freeze.mode={mode}", "model=resnet18")


def parsed(*overrides):
    composition = Composer().compose(["name=x", *overrides])
    return parse(composition.values, composition.origins)


def refusal(*overrides) -> str:
    with pytest.raises(SpecError) as caught:
        parsed(*overrides)
    return str(caught.value)
