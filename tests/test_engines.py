"""Engines: what each computes, which is chosen and why, and what is said where none can."""

import importlib.util
import itertools
import json
import math
import os
import subprocess
import sys
import threading

import numpy as np
import onnx
import pytest
import small_bundle
import small_cnn
from scoring import SETTINGS, serving

from deployers.scoring import choice, cores, engines
from deployers.scoring.choice import Speed
from deployers.scoring.engines import onnxruntime, openvino
from deployers.scoring.settings import Serving
from mlops_spec import bundle
from mlops_spec.errors import MlopsError

HAS_OPENVINO = importlib.util.find_spec("openvino") is not None
needs_openvino = pytest.mark.skipif(not HAS_OPENVINO, reason="pip install 'mlops_spec[openvino]'")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A bundle and its data."""
    return small_cnn.make(tmp_path_factory.mktemp("cnn"))


@pytest.fixture(scope="module")
def folder(made):
    return made[0]


def settings(**changes):
    return Serving.model_validate({**SETTINGS, **changes})


def noise(images=5):
    return np.random.default_rng(1).integers(0, 256, (images, 16, 16, 3), np.uint8)


def load(name, folder, precision="fp32"):
    return engines.named(name).load(folder / "model.onnx", bundle.read(folder), precision)


def has_bf16():
    if not HAS_OPENVINO:
        return False
    return "BF16" in openvino.library().Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def test_the_settings_know_every_engine_there_is():
    known = Serving.model_fields["engine"].annotation.__args__
    assert sorted(known) == sorted([*engines.names(), choice.AUTO])


@pytest.mark.parametrize("name", engines.names())
def test_every_engine_answers_as_the_one_that_judged(name, folder):
    if not importlib.util.find_spec(engines.named(name).PACKAGE):
        pytest.skip(f"{name} is not installed")
    model, engine = bundle.load(folder), load(name, folder)
    for images in (5, 1, 3):
        found = engine.logits(noise(images))
        assert (found.dtype, found.shape) == (np.float32, (images, 3))
        np.testing.assert_allclose(found, model.answer(noise(images)), atol=1e-3)
    every_second = noise(6)[::2]
    np.testing.assert_allclose(engine.logits(every_second), model.answer(every_second), atol=1e-3)


@needs_openvino
@pytest.mark.skipif(not has_bf16(), reason="this processor has no bf16")
def test_bf16_is_nearly_that(folder):
    found, expected = load("openvino", folder, "bf16").logits(noise()), None
    expected = bundle.load(folder).answer(noise())
    np.testing.assert_allclose(found, expected, atol=0.5)
    assert np.abs(found - expected).max() > 1e-3  # or it is no bf16


@needs_openvino
def test_nobody_is_told_that_a_model_is_served(folder, tmp_path):
    """OpenVINO's import alone writes a client's number to the home folder and sends it."""
    code = "import sys; from pathlib import Path; from deployers.scoring.engines import openvino;"
    code += "from mlops_spec import bundle; folder = Path(sys.argv[1]);"
    code += "openvino.load(folder / 'model.onnx', bundle.read(folder), 'fp32');"
    code += "print(*(name for name in sys.modules if name.startswith('openvino_telemetry.')))"
    clean = {name: value for name, value in os.environ.items() if name not in ("CI", "TF_BUILD")}
    environment = {**clean, "HOME": str(tmp_path)}
    command = [sys.executable, "-c", code, str(folder)]
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    assert done.stdout.strip() == ""
    assert [*tmp_path.iterdir()] == []


@needs_openvino
def test_several_threads_may_ask(folder):
    engine, batches = load("openvino", folder), [noise(i) for i in range(1, 9)]
    alone, together = [engine.logits(batch) for batch in batches], [None] * len(batches)

    def ask(number):
        for _ in range(20):
            together[number] = engine.logits(batches[number])

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(len(batches))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_array_equal(one, other)


def refused(**changes):
    """What is said where the settings can not be followed: message and cure."""
    folder = changes.pop("folder")
    with pytest.raises(MlopsError) as caught:
        choice.choose(folder, bundle.read(folder), settings(**changes))
    return caught.value.message, caught.value.cure


def test_what_an_engine_can_not_do_is_said_with_a_cure(folder):
    message, cure = refused(folder=folder, engine="onnxruntime", precision="bf16")
    assert "ONNX Runtime does not compute in bf16" in message
    assert "engine: openvino" in cure


@pytest.fixture
def without_openvino(monkeypatch):
    plain = importlib.util.find_spec
    missing = lambda name, *more: None if name == "openvino" else plain(name, *more)  # noqa: E731
    monkeypatch.setattr(importlib.util, "find_spec", missing)


@pytest.mark.usefixtures("without_openvino")
def test_an_engine_that_is_not_installed_is_said_with_a_cure(folder):
    message, cure = refused(folder=folder, engine="openvino")
    assert (message, cure) == ("OpenVINO is not installed", "pip install 'mlops_spec[openvino]'")
    chosen = choice.choose(folder, bundle.read(folder), settings(engine="auto"))
    assert chosen.name == "onnxruntime"
    assert "passed over openvino: OpenVINO is not installed" in chosen.why
    message, cure = refused(folder=folder, engine="auto", precision="bf16")
    assert "no engine can serve this model in bf16" in message
    assert "OpenVINO is not installed" in message


@needs_openvino
def test_a_processor_without_bf16_is_said(folder, monkeypatch):
    library = openvino.library()

    class Core(library.Core):
        def get_property(self, *_):
            return ["FP32", "INT8"]

    monkeypatch.setattr(library, "Core", Core)
    message, cure = refused(folder=folder, engine="openvino", precision="bf16")
    assert "this processor does not compute in bf16" in message
    assert "precision: fp32 or int8" in cure


class Off:
    """An engine that is off by some logits."""

    def __init__(self, engine, by):
        self.engine, self.by = engine, by

    def logits(self, pictures):
        return self.engine.logits(pictures) + np.array([self.by, 0, 0], np.float32)


def off(monkeypatch, module, by):
    plain = module.load
    monkeypatch.setattr(module, "load", lambda *each: Off(plain(*each), by))


@needs_openvino
@pytest.mark.parametrize("wrong", [onnxruntime, openvino])
def test_auto_passes_over_what_answers_otherwise_than_recorded(folder, monkeypatch, wrong):
    off(monkeypatch, wrong, 3.0)
    (name,) = {*engines.names()} - {wrong.PACKAGE}
    chosen = choice.choose(folder, bundle.read(folder), settings(engine="auto"))
    assert chosen.name == name
    assert f"passed over {wrong.PACKAGE}: golden probabilities are off by 0." in chosen.why
    assert chosen.golden_difference < 1e-3


def test_where_all_answer_otherwise_auto_serves_nothing(folder, monkeypatch):
    for module in (onnxruntime, openvino):
        off(monkeypatch, module, 3.0)
    message, cure = refused(folder=folder, engine="auto")
    assert "onnxruntime: golden probabilities are off by" in message
    assert "golden_tolerance" in cure


def test_what_is_asked_for_by_name_is_served_and_says_how_far_off_it_is(folder, monkeypatch):
    off(monkeypatch, onnxruntime, 3.0)
    chosen = choice.choose(folder, bundle.read(folder), settings())
    assert "the settings say so; golden probabilities are off by 0." in chosen.why
    json.dumps(chosen.document(), allow_nan=False)


def test_an_answer_that_is_no_number_is_refused(folder, monkeypatch):
    off(monkeypatch, onnxruntime, math.nan)
    message, _ = refused(folder=folder)
    assert "no number" in message


def test_a_golden_input_that_is_no_image_is_refused(tmp_path):
    golden = [{"image": "bm8=", "scores": (1.0, 0.0, 0.0), "labels": ("blue",), "why": "sure"}]
    folder = small_bundle.make(
        tmp_path / "b", golden=tuple(map(bundle.Golden.model_validate, golden))
    )
    message, _ = refused(folder=folder)
    assert "a golden input of the model can not be used" in message


@needs_openvino
def test_auto_says_what_it_measured(folder):
    chosen = choice.choose(folder, bundle.read(folder), settings(engine="auto"))
    (other,) = {*engines.names()} - {chosen.name}
    assert "ms an image" in chosen.why
    assert f"against {other}: " in chosen.why
    assert chosen.document()["engine"] == chosen.name


def test_another_engine_must_be_clearly_faster_than_what_judged():
    def best(one, each):
        return choice.preferred({"onnxruntime": Speed(0.01, 0.01), "openvino": Speed(one, each)})

    assert best(0.005, 0.005) == "openvino"
    assert best(0.0095, 0.0095) == "onnxruntime"
    assert best(0.005, 0.025) == "onnxruntime"  # faster alone, slower in batches by more
    assert best(0.005, 0.012) == "openvino"
    assert choice.preferred({"openvino": Speed(1, 1)}) == "openvino"


def test_engines_take_turns_of_several_runs():
    order = []

    class Noted:
        def __init__(self, name):
            self.name = name

        def logits(self, pictures):
            order.append((self.name, len(pictures)))
            return pictures

    card = type("Card", (), {"preprocessing": small_cnn.HOW})
    found = choice.measured({"a": Noted("a"), "b": Noted("b")}, card, batch=4)
    assert {*order} == {("a", 1), ("b", 1), ("a", 4), ("b", 4)}
    changes = sum(one != other for one, other in itertools.pairwise(order))
    assert changes < len(order) / 2
    assert all(speed.one > 0 and speed.each > 0 for speed in found.values())


def test_a_network_in_other_words_is_refused_by_every_engine(folder, tmp_path):
    card = bundle.read(folder)
    for name in engines.names():
        if not importlib.util.find_spec(engines.named(name).PACKAGE):
            continue
        path = tmp_path / "model.onnx"
        path.write_bytes(b"\x0a\x02no")
        with pytest.raises(MlopsError):
            engines.named(name).load(path, card, "fp32")
        onnx.save(small_bundle.network(np.eye(3, dtype=np.float32), small_bundle.HOW), path)
        with pytest.raises(MlopsError, match=r"not images tensor\(uint8\)"):
            engines.named(name).load(path, card, "fp32")
        model = onnx.load(folder / "model.onnx")
        onnx.save(model, path, save_as_external_data=True, location="w", size_threshold=0)
        with pytest.raises(MlopsError, match="weights in other files"):
            engines.named(name).load(path, card, "fp32")


def test_a_container_gets_threads_for_its_share(tmp_path, monkeypatch):
    monkeypatch.setattr("os.cpu_count", lambda: 8)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(8)), raising=False)
    share = tmp_path / "cpu.max"
    assert cores.threads(share) == 0
    for text, threads in (("max 100000\n", 0), ("150000 100000\n", 2), ("10000 100000\n", 1)):
        share.write_text(text)
        assert cores.threads(share) == threads
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1, 5})
    assert cores.threads(share) == 1
    share.unlink()
    assert cores.threads(share) == 3


@needs_openvino
def test_a_service_tells_what_computes_and_why(folder, tmp_path):
    with serving(folder, tmp_path, engine="openvino") as client:
        model = client.ask("GET", "/model")[2]
        told = {key: model[key] for key in ("engine", "precision", "why", "golden_difference")}
        assert told["engine"] == "openvino"
        assert told["precision"] == "fp32"
        assert told["why"] == "the settings say so"
        assert told["golden_difference"] < 1e-3
        (line,) = [line for line in client.lines() if "engine" in line]
        assert {key: line[key] for key in told} == told
