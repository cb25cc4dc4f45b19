"""What a model is worth on parts of a test set, and on pictures that were made worse."""

import numpy as np
import pytest
import small_bundle
from test_checks import put, scene
from test_evaluation import HOW, scores
from test_table_dataset import spec

from mlops_spec import bundle, files, manifest
from mlops_spec.judging import corruptions, evaluation, slices
from mlops_spec.judging.metrics import measure
from trainers.datasets import table


def test_columns_of_a_table_are_kept_for_every_image(tmp_path):
    lines = ["file,species,part,who"]
    for number in range(40):
        put(tmp_path / "photos" / f"{number}.png", scene(number))
        lines.append(f"photos/{number}.png,{'ab'[number % 2]},{number % 3},s{number // 4}")
    file = tmp_path / "table.csv"
    files.write_text(file, "\n".join(lines) + "\n")
    dataset = table.prepare(spec(file, slices=("who", "part")), tmp_path / "out")
    found = slices.read(tmp_path / "out", dataset.rows)
    numbers = [int(row.path.removeprefix("photos/").removesuffix(".png")) for row in dataset.rows]
    assert found["who"] == [f"s{number // 4}" for number in numbers]
    assert found["part"] == [str(number % 3) for number in numbers]
    dataset = table.prepare(spec(file), tmp_path / "out")
    assert slices.read(tmp_path / "out", dataset.rows) == {}, "what is not asked for any more"


def test_a_part_has_the_metrics_of_its_images():
    drawn = scores([0, 1, 0, 1, 1], [[0.9, 0.1], [0.2, 0.8], [0.4, 0.6], [0.7, 0.3], [0.1, 0.9]])
    found = [*slices.measure(drawn, {"camera": ["x", "y", "x", "y", "y"]})]
    assert [(part["value"], part["images"]) for part in found] == [("y", 3), ("x", 2)]
    places = [1, 3, 4]
    alone = measure(scores(drawn.targets[places], drawn.probabilities[places], drawn.labels))
    assert found[0]["metrics"] == pytest.approx({k: alone[k] for k in found[0]["metrics"]})
    low, high = found[0]["interval"]
    assert low < 2 / 3 < high


def test_only_the_largest_parts_are_judged():
    count = 80
    drawn = scores([0] * count, [[0.9, 0.1]] * count)
    cells = [str(max(i - 20, 0)) for i in range(count)]
    found = [*slices.measure(drawn, {"who": cells})]
    assert len(found) == slices._MOST
    assert found[0]["value"] == "0"


@pytest.mark.parametrize(
    ("share", "count", "expected"),
    [(0.5, 10, (0.2366, 0.7634)), (1.0, 5, (0.5655, 1.0)), (0.0, 20, (0.0, 0.1611))],
)
def test_wilson_is_what_tables_say(share, count, expected):
    assert slices.wilson(share, count) == pytest.approx(expected, abs=1e-4)


def picture(channels):
    waves = np.sin(np.arange(32) / 2)
    grey = 128 + 40 * (waves[:, None] + waves[None])
    return np.repeat(grey[..., None], channels, axis=2).astype(np.uint8)


@pytest.mark.parametrize("kind", corruptions._KINDS)
@pytest.mark.parametrize("channels", [1, 3])
def test_a_picture_gets_worse_with_strength_and_the_same_each_time(kind, channels):
    clean = picture(channels)
    for number in (0, 1):
        worse = [corruptions.corrupted(clean, kind, s, number) for s in corruptions.STRENGTHS]
        assert {w.shape for w in worse} == {clean.shape}
        assert {w.dtype for w in worse} == {np.dtype(np.uint8)}
        off = [np.abs(w.astype(float) - clean).mean() for w in worse]
        assert 0 < off[0] < off[1] < off[2]
        assert np.array_equal(corruptions.corrupted(clean, kind, 2, number), worse[1])


def test_chance_falls_differently_on_each_picture():
    first, second = (corruptions.corrupted(picture(3), "noise", 1, n) for n in (0, 1))
    assert not np.array_equal(first, second)
    dark, bright = (corruptions.corrupted(picture(3), "brightness", 1, n) for n in (0, 1))
    assert dark.mean() < picture(3).mean() < bright.mean()


def test_an_evaluation_asks_about_worse_pictures_too(tmp_path):
    from dataclasses import replace

    small_bundle.data_set(tmp_path / "data", wrong=1)
    small_bundle.make(tmp_path / "bundle")
    how = replace(HOW, robustness=4)
    evaluation.evaluate(tmp_path / "data", tmp_path / "bundle", tmp_path / "out", how)
    found = files.read_json(tmp_path / "out" / "metrics.json")["robustness"]
    assert [(each["kind"], each["strength"]) for each in found] == [
        ("none", 0),
        *((kind, strength) for kind in corruptions._KINDS for strength in (1, 2, 3)),
    ]
    assert {each["images"] for each in found} == {4}
    rows = manifest.read(tmp_path / "data").split("test")
    whole = evaluation.read(tmp_path / "out", rows)
    chosen = [i * 6 // 4 for i in range(4)]
    likelihood = whole.probabilities[chosen, whole.targets[chosen]]
    assert found[0]["metrics"]["accuracy"] == whole.right[chosen].mean()
    assert found[0]["metrics"]["log_loss"] == pytest.approx(-np.log(likelihood).mean())
    by_kind = {(each["kind"], each["strength"]): each["metrics"]["log_loss"] for each in found}
    changed = [by_kind[kind, 3] != by_kind["none", 0] for kind in corruptions._KINDS]
    assert sum(changed) >= 3, "plain colours have nothing to blur"
    model = bundle.load(tmp_path / "bundle")
    content = manifest.read(tmp_path / "data").content(rows[0])
    worse = corruptions.corrupted(bundle.pixels(content, model.card.preprocessing), "blur", 3, 0)
    assert model.activated(model.answer(worse[None])).shape == (1, 3)
