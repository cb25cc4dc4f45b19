import functools
import hashlib
import http.server
import multiprocessing
import threading
from types import SimpleNamespace

import pytest
from test_archive import zip_of
from test_folder_dataset import CHECKS, photos

from mlops_spec import manifest
from mlops_spec.errors import StepError
from trainers.datasets import _archive, archive


@pytest.fixture(autouse=True)
def project(tmp_path, monkeypatch):
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("no_proxy", "127.0.0.1,localhost")
    return folder


def packed(path, *labels, top="", **settings):
    """A zip file of photographs in a folder a class."""
    root = photos(path.parent / "photos", *labels, **settings)
    found = {f"{top}{p.relative_to(root)}": p.read_bytes() for p in sorted(root.rglob("*.png"))}
    return zip_of(found.items(), path)


@pytest.fixture
def made(tmp_path):
    return packed(tmp_path / "photos.zip", "ants", "bees")


def spec(source, **changes):
    given = {
        "kind": "archive",
        "source": str(source),
        "sha256": None,
        "inside": "",
        "max_files": 100,
        "max_bytes": 1_000_000,
        "max_file_bytes": 100_000,
        "train": None,
        "val": None,
        "test": None,
        "multi_label": False,
        "val_fraction": 0.2,
        "test_fraction": 0.2,
        "split_seed": 0,
        "group": None,
        "extensions": (".jpg", ".png"),
        "checks": CHECKS,
    }
    return archive.Spec.model_validate({**given, **changes})


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def problems(data):
    return dict(archive.contradictions(SimpleNamespace(data=data)))


def test_the_classes_of_an_archive_become_a_data_set(made, tmp_path, project):
    dataset = archive.prepare(spec(made), tmp_path / "out")
    assert dataset.classes == ("ants", "bees")
    assert [len(dataset.split(split)) for split in manifest.SPLITS] == [12, 4, 4]
    assert manifest.read(tmp_path / "out").rows == dataset.rows
    place = project / ".mlops" / "data" / digest(made)[:16]
    assert manifest.read(tmp_path / "out").root == place / "images"
    assert dataset.content(dataset.rows[0])


def test_a_folder_inside_can_be_the_root_and_splits_can_have_folders(tmp_path):
    made = packed(tmp_path / "p.zip", "a/train/x", "a/train/y", "a/exam/x", "a/exam/y", top="./")
    data = spec(made, inside="a", train="train", test="exam")
    dataset = archive.prepare(data, tmp_path / "out")
    assert [len(dataset.split(split)) for split in manifest.SPLITS] == [16, 4, 20]
    assert dataset.classes == ("x", "y")


@pytest.mark.parametrize(
    ("changes", "key", "path"),
    [
        ({"inside": "phots"}, "data.inside", "phots"),
        ({"inside": "photos", "train": "trian"}, "data.train", "photos/trian"),
    ],
)
def test_a_folder_that_the_archive_lacks_is_named_with_those_it_has(tmp_path, changes, key, path):
    made = packed(tmp_path / "p.zip", "ants", "bees", top="photos/")
    with pytest.raises(StepError, match=f"{key}: there is no folder {path} in the arch") as caught:
        archive.prepare(spec(made, **changes), tmp_path / "out")
    expected = "there are: photos" if key == "data.inside" else "there are: ants, bees"
    assert caught.value.cure == expected


def test_an_archive_is_unpacked_once(made, tmp_path, project, monkeypatch):
    first = archive.prepare(spec(made), tmp_path / "out")
    monkeypatch.setattr(_archive, "extract", None)
    assert archive.prepare(spec(made), tmp_path / "again") == first
    assert archive.prepare(spec(made, sha256=digest(made).upper()), tmp_path / "third") == first
    assert len([*(project / ".mlops" / "data").iterdir()]) == 1


@pytest.mark.parametrize("damage", ["changed", "missing", "added", "half"])
def test_images_that_are_not_those_of_the_archive_any_more_are_unpacked_again(
    made, tmp_path, project, damage
):
    first = archive.prepare(spec(made), tmp_path / "out")
    (images,) = project.glob(".mlops/data/*/images")
    image = images / "ants" / "1.png"
    if damage == "missing":
        image.unlink()
    elif damage == "changed":
        image.write_bytes((images / "bees" / "1.png").read_bytes())
    elif damage == "added":
        (images / "ants" / "new.png").write_bytes(b"x")
    else:
        images.with_name("images.json").unlink()
    assert archive.prepare(spec(made), tmp_path / "again") == first
    assert not (images / "ants" / "new.png").exists()


def test_another_file_than_the_spec_says_is_refused(made, tmp_path, project):
    with pytest.raises(StepError, match=f"has the sha256 {digest(made)}, not 0000"):
        archive.prepare(spec(made, sha256="0" * 64), tmp_path / "out")
    assert not (project / ".mlops").exists()


def test_the_fingerprint_is_the_content_of_a_file(made):
    data = spec(made)
    assert archive.fingerprint(data) == {"sha256": digest(made)}
    made.write_bytes(b"other")
    assert archive.fingerprint(data) == {"sha256": digest(made)}
    with pytest.raises(StepError, match="there is no file"):
        archive.fingerprint(spec("gone.zip"))


def test_the_fingerprint_of_a_url_asks_nobody_and_keeps_no_signature():
    data = spec("http://no.where/a.zip?sig=5ecret", sha256="0" * 64)
    assert archive.fingerprint(data) == {"source": "http://no.where/a.zip", "sha256": "0" * 64}
    assert problems(data) == {}


@pytest.mark.parametrize(
    ("changes", "key", "what"),
    [
        ({"source": "http://a/b.zip"}, "data.sha256", "a URL needs data.sha256, so that everybody"),
        ({"source": "gone.zip"}, "data.source", "there is no file gone.zip"),
        ({"inside": "../x"}, "data.inside", "should be a folder inside the archive"),
        ({"inside": "/x"}, "data.inside", "should be a folder inside the archive"),
        ({"train": "a/../../b"}, "data.train", "should be a folder inside the archive"),
        ({"train": "a", "test": "a/b"}, "data.test", "overlaps data.train"),
        ({"test": "a/b"}, "data.train", "name it too: data.test would be a class"),
        ({"val_fraction": 0.5, "test_fraction": 0.5}, "data.test_fraction", "leave nothing"),
    ],
)
def test_what_can_not_go_together_is_said_before_any_work(made, changes, key, what):
    found = problems(spec(**{"source": made, **changes}))
    assert found.keys() == {key}
    assert what in found[key]


@pytest.mark.parametrize("changes", [{}, {"test": "a"}, {"train": "a", "val": "b", "test": "c"}])
def test_what_can_go_together_is_no_problem(made, changes):
    assert problems(spec(made, **changes)) == {}


@pytest.mark.parametrize("value", ["0" * 63, "g" * 64, "0" * 65])
def test_what_is_no_sha256_is_refused(made, value):
    with pytest.raises(ValueError, match="sha256"):
        spec(made, sha256=value)


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_words):
        pass


def test_an_archive_of_the_web_is_fetched_once(made, tmp_path, project):
    handler = functools.partial(Quiet, directory=made.parent)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/photos.zip?sig=5ecret"
        data = spec(url, sha256=digest(made))
        first = archive.prepare(data, tmp_path / "out")
        server.shutdown()
    assert len(first.rows) == 20
    assert archive.prepare(data, tmp_path / "again") == first
    assert not any(b"5ecret" in p.read_bytes() for p in project.rglob("*") if p.is_file())


def prepare(made, out, barrier):
    barrier.wait()
    archive.prepare(spec(made), out)


def test_two_processes_at_once_are_held_apart(made, tmp_path, project):
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(3)
    outs = [tmp_path / str(number) for number in range(3)]
    started = [context.Process(target=prepare, args=(made, out, barrier)) for out in outs]
    for process in started:
        process.start()
    for process in started:
        process.join()
    assert [process.exitcode for process in started] == [0, 0, 0]
    assert len({manifest.read(out).digest for out in outs}) == 1
    assert [*project.glob(".mlops/data/*/.images.part")] == []
