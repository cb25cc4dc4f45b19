"""Learning rates, losses and chance, each as its definition has it; and exact after a restart."""

import io
from types import SimpleNamespace

import pytest
import torch
from small_training import pictures, settings
from test_freeze import parsed, refusal
from torch import nn
from torch.nn import functional

from mlops_spec import manifest
from mlops_spec.bundle import Preprocessing
from trainers._torch import data, losses, optimization
from trainers._torch.augment import of_one
from trainers._torch.classifier import average_of, follow
from trainers._torch.data import Pictures, loader
from trainers._torch.optimization import Length, cosine
from trainers._torch.progress import duration
from trainers._torch.sampling import Shuffled

LENGTH = Length(epochs=6, batches=5, updates=5)
KINDS = ("constant", "step", "cosine", "one_cycle", "plateau")
SETTINGS = {"step_epochs": 2, "factor": 0.1, "patience": 1, "warmup_epochs": 2}
LOSSES = (1.0, 0.5, 0.6, 0.7, 0.8, 0.9)  # of validation, by epoch
HOW = Preprocessing(channels=1, resize=8, input_size=8, mean=(0.5,), std=(0.5,))


class Course:
    """An optimizer of two groups and its schedule, stepped as Lightning does."""

    def __init__(self, kind, optimizer="sgd"):
        model = nn.Linear(2, 2)
        spec = settings(schedule={"kind": kind, **SETTINGS})
        groups = [{"params": [model.weight], "lr": 1.0}, {"params": [model.bias], "lr": 0.5}]
        kinds = {"sgd": torch.optim.SGD, "adamw": torch.optim.AdamW}
        self.optimizer = kinds[optimizer](groups)
        self.config = optimization.schedule(spec.schedule, self.optimizer, LENGTH)

    def run(self, epochs) -> list[list[float]]:
        """The learning rates of each group before each update."""
        return [self.update(epoch, batch) for epoch in epochs for batch in range(LENGTH.batches)]

    def update(self, epoch, batch) -> list[float]:
        rates = [group["lr"] for group in self.optimizer.param_groups]
        self.optimizer.step()
        by_step = self.config.get("interval", "epoch") == "step"
        every = self.config.get("frequency", 1) if by_step else LENGTH.batches
        if (batch + 1) % every == 0:
            given = [LOSSES[epoch]] if "monitor" in self.config else []
            self.config["scheduler"].step(*given)
        return rates


def rates(kind) -> list[float]:
    return [first for first, _ in Course(kind).run(range(LENGTH.epochs))]


def test_constant_stays():
    assert rates("constant") == [1.0] * 30


def test_step_is_a_stair_of_epochs():
    assert rates("step") == pytest.approx([1.0] * 10 + [0.1] * 10 + [0.01] * 10)


def test_cosine_rises_in_its_warm_up_and_falls_to_nearly_nothing():
    found = rates("cosine")
    assert found[:10] == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0])
    assert found[10] == 1.0
    assert found[20] == pytest.approx(0.5)  # half of the way down
    assert found[10:] == sorted(found[10:], reverse=True)
    assert found[-1] == pytest.approx(cosine(29, 10, 30))
    assert 0 < found[-1] < 0.01


def test_cosine_without_a_warm_up_starts_at_the_top_and_ends_at_nothing():
    assert [cosine(step, 0, 4) for step in range(5)] == pytest.approx(
        [1, 0.8536, 0.5, 0.1464, 0], abs=1e-4
    )


def test_one_cycle_goes_up_to_the_learning_rate_and_down_far_below_its_start():
    found = rates("one_cycle")
    top = found.index(max(found))
    assert found[top] == pytest.approx(1.0)
    assert found[: top + 1] == sorted(found[: top + 1])
    assert found[top:] == sorted(found[top:], reverse=True)
    assert found[-1] < found[0] == pytest.approx(1 / 25)


def test_one_cycle_leaves_sgd_the_momentum_that_was_asked_for():
    course = Course("one_cycle")
    course.run(range(2))
    assert {group["momentum"] for group in course.optimizer.param_groups} == {0}


def test_plateau_reduces_after_more_epochs_without_progress_than_its_patience():
    assert rates("plateau") == pytest.approx([1.0] * 20 + [0.1] * 10)


@pytest.mark.parametrize("kind", KINDS)
def test_groups_keep_their_proportion(kind):
    for first, second in Course(kind).run(range(LENGTH.epochs)):
        assert second == pytest.approx(first / 2)


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_schedule_goes_on_exactly_from_a_checkpoint(kind, optimizer):
    unbroken, broken, resumed = (Course(kind, optimizer) for _ in range(3))
    expected = unbroken.run(range(LENGTH.epochs))
    assert broken.run(range(3)) == expected[:15]
    file = io.BytesIO()
    torch.save([broken.optimizer.state_dict(), broken.config["scheduler"].state_dict()], file)
    file.seek(0)
    state = torch.load(file, weights_only=True)
    resumed.optimizer.load_state_dict(state[0])
    resumed.config["scheduler"].load_state_dict(state[1])
    assert resumed.run(range(3, LENGTH.epochs)) == expected[15:]


def test_a_warm_up_of_all_epochs_is_refused():
    words = ("training.epochs=3", "training.schedule.warmup_epochs=3")
    assert "training.schedule.warmup_epochs" in refusal(*words, "training.schedule.kind=cosine")
    parsed(*words)  # of no interest to the other schedules


# Losses


def test_focal_loss_without_gamma_is_cross_entropy():
    logits, targets, weight = torch.randn(9, 3), torch.arange(9) % 3, torch.tensor([1.0, 2.0, 0.5])
    for given in (None, weight):
        expected = functional.cross_entropy(logits, targets, given, reduction="sum") / 9
        torch.testing.assert_close(losses.Focal(0.0, given)(logits, targets), expected)
        torch.testing.assert_close(losses.CrossEntropy(given, 0.0)(logits, targets), expected)


def test_smoothed_cross_entropy_is_torch_s():
    logits, targets = torch.randn(9, 3), torch.arange(9) % 3
    expected = functional.cross_entropy(logits, targets, label_smoothing=0.2)
    torch.testing.assert_close(losses.CrossEntropy(None, 0.2)(logits, targets), expected)


@pytest.mark.parametrize("kind", ["cross_entropy", "focal"])
def test_the_loss_of_a_batch_is_that_of_its_parts(kind):
    """With weights, too: devices and accumulation divide batches."""
    logits, targets, weight = torch.randn(8, 3), torch.arange(8) % 3, torch.tensor([1.0, 2.0, 9.0])
    loss = losses.Focal(2.0, weight) if kind == "focal" else losses.CrossEntropy(weight, 0.1)
    halves = [loss(logits[part], targets[part]) for part in (slice(4), slice(4, 8))]
    torch.testing.assert_close(sum(halves) / 2, loss(logits, targets))


def test_focal_loss_is_its_formula():
    p = torch.tensor([0.9, 0.6, 0.1])
    logits = torch.stack([p.log(), (1 - p).log()], dim=1)
    expected = ((1 - p) ** 2 * -p.log()).mean()
    found = losses.Focal(2.0, None)(logits, torch.zeros(3, dtype=torch.long))
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_focal_loss_has_a_slope_where_the_answer_is_certain(gamma):
    logits = torch.tensor([[200.0, -200.0]], requires_grad=True)
    losses.Focal(gamma, None)(logits, torch.tensor([0])).backward()
    assert torch.isfinite(logits.grad).all()


def test_balanced_weights_make_classes_count_alike():
    targets = [0] * 6 + [1] * 3 + [2]
    weights = losses.balanced(torch.tensor(targets), 3)
    counted = weights * torch.tensor([6, 3, 1])
    torch.testing.assert_close(counted, torch.full((3,), 10 / 3))


def test_the_loss_is_the_one_that_was_asked_for(tmp_path):
    dataset = manifest.read(pictures(tmp_path))
    assert losses.loss(settings(label_smoothing=0.1), dataset).label_smoothing == 0.1
    focal = losses.loss(settings(loss="focal", class_weights="balanced"), dataset)
    assert isinstance(focal, losses.Focal)
    assert focal.weight.tolist() == sorted(focal.weight.tolist())  # the rarest comes last


def test_focal_loss_with_label_smoothing_is_refused():
    words = ("training.loss=focal", "training.label_smoothing=0.1")
    assert "training.label_smoothing" in refusal(*words)


# The average of the weights


def test_the_average_follows_the_weights_and_the_statistics():
    network = nn.Sequential(nn.Linear(1, 1), nn.BatchNorm1d(1))
    average = average_of(network)
    start = average[0].weight.item()
    with torch.no_grad():
        network[0].weight += 1
        network[1].running_mean += 1
        network[1].num_batches_tracked += 7
    follow(average, network, decay=0.9, updates=1000)
    assert average[0].weight.item() == pytest.approx(start + 0.1, abs=1e-6)
    assert average[1].running_mean.item() == pytest.approx(0.1)
    assert average[1].num_batches_tracked.item() == 7
    follow(average, network, decay=0.9, updates=0)  # the first weights are forgotten soon
    assert average[0].weight.item() == pytest.approx(start + 0.1 + 0.9 * 0.9, abs=1e-6)  # float32
    assert not any(p.requires_grad for p in average.parameters())


# Chance


def test_order_and_draws_follow_from_seed_and_epoch():
    shuffled = Shuffled(20, seed=5, epoch=0)
    first = [*shuffled]
    assert sorted(index for index, _ in first) == [*range(20)]
    assert [*shuffled] == first
    shuffled.set_epoch(3)
    assert [*shuffled] == [*Shuffled(20, seed=5, epoch=3)]
    draws = {draw for epoch in (0, 3) for _, draw in Shuffled(20, 5, epoch)}
    assert len(draws) == 40
    assert [*Shuffled(20, seed=6, epoch=0)] != first


def test_a_draw_decides_the_augmentation_and_nothing_else(tmp_path):
    dataset = manifest.read(pictures(tmp_path))
    found = Pictures(dataset, "train", HOW, of_one(settings().augment, 8))
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    once = found[4, 99][0]
    assert torch.equal(torch.rand(3), expected), "the global generator was touched"
    assert torch.equal(found[4, 99][0], once)
    assert not torch.equal(found[4, 98][0], once)
    assert torch.equal(found[4][0], found.raw(4)), "as it is, when no draw is given"


def test_a_loader_leaves_the_global_generator_alone(tmp_path):
    dataset = manifest.read(pictures(tmp_path))
    found = Pictures(dataset, "train", HOW, of_one(settings().augment, 8))
    before = torch.get_rng_state()
    assert len([*loader(found, 8, 0, Shuffled(len(found), 0, 0))]) == len(found) / 8
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(("workers", "kept"), [(None, 10), (4, 2)])
def test_processes_that_load_a_split_share_the_room_for_decoded_pictures(
    tmp_path, monkeypatch, workers, kept
):
    monkeypatch.setattr(data, "_CACHE_BYTES", 10 * 8 * 8)
    worker = workers and SimpleNamespace(num_workers=workers)
    monkeypatch.setattr(data, "get_worker_info", lambda: worker)
    found = Pictures(manifest.read(pictures(tmp_path)), "train", HOW)
    twice = [(found.raw(i), found.raw(i)) for i in range(len(found))]
    assert sum(first is second for first, second in twice) == kept
    assert all(torch.equal(first, second) for first, second in twice)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0, "0 s"), (119, "119 s"), (121, "2 min"), (7199, "120 min"), (9000, "2.5 h")],
)
def test_a_time_to_wait_is_in_a_unit_people_use(seconds, said):
    assert duration(seconds) == said
