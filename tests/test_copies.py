"""The registry's own copies of bundles: exchanged only where they differ, never half."""

import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path

import lineages
import pytest
from registries import DATABASE, MODELS, SECOND, candidate, origin

from mlops_spec import copies, lineage, registry
from mlops_spec.registering import LocalRegistry
from mlops_spec.verification import Expected

# MLflow's own tables use a loader that SQLAlchemy 2.1 deprecates.
pytestmark = [
    pytest.mark.filterwarnings("ignore:The ``noload`` loader:DeprecationWarning"),
    pytest.mark.usefixtures("registered"),
]


@pytest.fixture
def home():
    (version,) = LocalRegistry(DATABASE, MODELS).versions("digits")
    return Path(version.path)


@pytest.fixture
def earlier(home):
    """The registration was long ago."""
    lineages.changed(home, registered="2020-01-01T00:00:00Z")
    return home.stat().st_ino


def said(home):
    return lineage.read(home / lineage.FILE)


def test_the_same_registration_exchanges_nothing(first, home, earlier):
    copies.store(first, home)
    assert home.stat().st_ino == earlier
    assert said(home).registered == "2020-01-01T00:00:00Z"
    assert [path.name for path in home.parent.iterdir()] == [home.name]


def test_another_metric_verdict_parent_report_or_training_is_a_new_copy(first, home, tmp_path):
    (tmp_path / "other.html").write_text("<p>other</p>")
    verdict = lineage.Verdict(verdict="promote", reason="otherwise")
    changes = {
        "metrics": {"accuracy": 0.5},
        "train": "3c" * 32,
        "report": tmp_path / "other.html",
        "known": replace(first.known, gate=verdict),
    }
    for name, value in [*changes.items(), ("known", origin(7))]:
        before = said(home)
        first = replace(first, **{name: value})
        copies.store(first, home)
        after = said(home).model_copy(update={"registered": before.registered})
        assert after != before, name
        assert registry.damage(LocalRegistry(DATABASE, MODELS).versions("digits")[0]) == ""


def test_another_signature_is_a_new_copy_and_the_same_one_is_not(first, home):
    signed = replace(first, known=origin(key=lineages.key()))
    copies.store(signed, home)
    place = home.stat().st_ino
    copies.store(signed, home)
    assert home.stat().st_ino == place
    for known in (origin(key=lineages.key(2)), origin()):
        copies.store(replace(first, known=known), home)
        assert home.stat().st_ino != place
        place = home.stat().st_ino
    assert not (home / lineage.SIGNATURE).exists()


@pytest.mark.parametrize("name", ["model.onnx", "model.json", "report.html", "lineage.json"])
@pytest.mark.parametrize("meddle", [Path.unlink, lambda path: path.write_text("{")])
def test_a_copy_that_is_not_whole_is_exchanged(first, home, name, meddle):
    meddle(home / name)
    copies.store(first, home)
    assert registry.damage(LocalRegistry(DATABASE, MODELS).versions("digits")[0]) == ""
    assert [path.name for path in home.parent.iterdir()] == [home.name]


def test_half_of_what_was_being_deleted_is_never_put_back(first, home, monkeypatch):
    """Killed while the bundle of before is deleted: what is left of it has no name to go back."""

    def half(path, **_):
        if (path / "model.onnx").exists():
            (path / "model.onnx").unlink()
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", half)
        with pytest.raises(KeyboardInterrupt):
            copies.store(replace(first, metrics={"accuracy": 0.5}), home)
    home.rename("aside")
    copies.put_back(MODELS / "digits")
    assert not home.exists()


@pytest.mark.parametrize("act", ["promote", "rollback", "register"])
def test_a_bundle_whose_successor_never_came_is_put_back(home, tmp_path, act):
    place = LocalRegistry(DATABASE, MODELS)
    second = candidate(tmp_path / "second", SECOND, 1, 2.0)
    place.promote("digits", place.register(second).version, "better", 1)
    home.rename(registry.aside_of(home))
    acts = {
        "promote": lambda: place.promote("digits", 1, "after all", 2),
        "rollback": lambda: place.rollback("digits"),
        "register": lambda: place.register(second),
    }
    acts[act]()
    assert registry.damage(place.versions("digits")[0]) == ""
    assert not registry.aside_of(home).exists()


def test_what_waits_beside_its_successor_is_deleted(home):
    shutil.copytree(home, registry.aside_of(home))
    copies.put_back(home.parent)
    assert [path.name for path in home.parent.iterdir()] == [home.name]


def comes(home, folder):
    """Brings the bundle of the registry to a place where there is none, out of a folder."""
    version = LocalRegistry(DATABASE, MODELS).versions("digits")[0]
    expected = Expected(model="digits", digest=version.digest)
    load = partial(shutil.copytree, folder, dirs_exist_ok=True)
    return copies.bring(home, load, expected)


def test_a_bundle_that_comes_from_elsewhere_is_put_in_place_whole(home, tmp_path):
    there = tmp_path / "there" / "digits"
    (there.parent / ".digits.partial").mkdir(parents=True)  # of one that was killed
    (there.parent / ".digits.partial" / "half").touch()
    assert comes(there, home) == ""
    assert sorted(path.name for path in there.iterdir()) == sorted(
        path.name for path in home.iterdir()
    )
    assert [path.name for path in there.parent.iterdir()] == ["digits"]


@pytest.mark.parametrize(
    ("meddle", "what"),
    [
        (lambda path: (path / "model.onnx").write_bytes(b"x"), "damaged: model.onnx was changed"),
        (lambda path: (path / "report.html").unlink(), "damaged: report.html is gone"),
        (lambda path: (path / "more").symlink_to("/etc/hostname"), "damaged: more was added"),
        (lambda path: lineages.changed(path, model="letters"), "registered as 'letters'"),
        (lambda path: [one.unlink() for one in path.iterdir()], "its bundle is gone"),
    ],
)
def test_a_bundle_that_is_not_what_is_expected_stays_away(home, tmp_path, meddle, what):
    meddle(home)
    there = tmp_path / "there" / "digits"
    assert what in comes(there, home)
    assert [*there.parent.iterdir()] == []
