"""A share of the requests is kept: what for, within which bounds, and at nobody's expense."""

import ast
import io
import re
import shutil
import stat
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import small_bundle
from PIL import Image
from scoring import SETTINGS, serving, start
from test_scoring import BLUE, GREEN, RED, encoded, form_of, labels, picture
from written import records

from deployers.scoring import sampling
from mlops_spec import bundle

PAGE = Path(__file__).resolve().parent.parent / "docs" / "serving.md"

# A disk that takes half a second for each sample
SLOW = """
import time
from deployers.scoring import __main__ as service
from deployers.scoring.samples import Folder
plain = Folder.keep
Folder.keep = lambda self, *what: time.sleep(0.5) or plain(self, *what)
service.main()
"""


@pytest.fixture
def folder(tmp_path):
    return small_bundle.make(tmp_path / "bundle", temperature=1.5)


@pytest.fixture
def samples(tmp_path):
    return tmp_path / "samples"


def keeping(samples, **changes):
    """Settings with which everything is kept."""
    how = {**SETTINGS["sampling"], "share": 1.0, "folder": str(samples), **changes}
    return {"sampling": how}


def lines(samples):
    """What is kept, in order."""
    return records(*sorted((samples / "answers").iterdir()))


def counted(client):
    """Samples by how they ended."""
    page = client.ask("GET", "/metrics")[2]
    found = re.findall(r'scoring_samples_total\{outcome="(\w+)"\} (\S+)', page)
    return {outcome: float(count) for outcome, count in found}


def waited_for(client, **expected):
    """The numbers of samples, once they are these."""
    deadline = time.monotonic() + 90
    while counted(client) != expected and time.monotonic() < deadline:
        time.sleep(0.02)
    assert counted(client) == expected


def news(client):
    """What the log says of samples."""
    return [(line["level"], line["samples"]) for line in client.lines() if "samples" in line]


def test_nothing_is_kept_unless_somebody_asks(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with serving(folder, tmp_path / "service") as client:
        assert labels(client.score(RED)) == ["red"]
        assert counted(client) == {}
    assert not (tmp_path / ".mlops").exists()


def test_images_are_kept_as_they_were_sent_with_all_that_was_answered(folder, samples, tmp_path):
    body, kind = form_of(GREEN, BLUE)
    with serving(folder, tmp_path / "service", **keeping(samples)) as client:
        client.ask("POST", "/score?top=1", RED, X_Request_Id="mine")
        client.score(body, Content_Type=kind)
        client.json({"images": encoded(BLUE)})
        client.score(b"no image")
        waited_for(client, kept=3)
    kept = lines(samples)
    sent = [(samples / "images" / line["image"]).read_bytes() for line in kept]
    assert sent == [RED, GREEN, BLUE, BLUE]
    assert [line["number"] for line in kept] == [1, 1, 2, 1]
    assert len({*(samples / "images").iterdir()}) == 3
    first = kept[0]
    assert (first["request"], first["kind"], first["schema_version"]) == ("mine", "file", 1)
    assert (first["model"], first["version"]) == ("colours", "7")
    assert first["digest"] == bundle.digest(folder)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", first["time"])
    expected = bundle.load(folder).probabilities([RED])[0]
    assert [*first["probabilities"]] == [*small_bundle.LABELS]
    np.testing.assert_allclose([*first["probabilities"].values()], expected, atol=1e-6)
    assert kept[1]["request"] == kept[2]["request"] != kept[3]["request"]


def test_nobody_else_can_read_them(folder, samples, tmp_path):
    samples.joinpath("images").mkdir(0o755, parents=True)
    samples.chmod(0o755)  # whoever made it decides about it, and about nothing in it
    with serving(folder, tmp_path / "service", **keeping(samples)) as client:
        client.score(RED)
        waited_for(client, kept=1)
    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in samples.rglob("*")}
    assert {modes.pop(samples / name) for name in ("images", "answers")} == {0o700}
    assert {*modes.values()} == {0o600}
    assert len(modes) == 4  # an image, answers, the usage, a word to whoever finds it


def test_a_folder_of_its_own_is_closed(folder, samples, tmp_path):
    with serving(folder, tmp_path / "service", **keeping(samples)):
        assert stat.S_IMODE(samples.stat().st_mode) == 0o700


def test_pixels_are_kept_as_a_picture_of_them(folder, samples, tmp_path):
    pixels = np.arange(2 * 8 * 8 * 3, dtype=np.uint8).reshape(2, 8, 8, 3)
    sent = (pixels.transpose(0, 3, 1, 2) / 255).tolist()
    with serving(folder, tmp_path / "service", **keeping(samples)) as client:
        assert client.json({"data": sent})[0] == 200
        waited_for(client, kept=1)
    kept = lines(samples)
    assert [line["kind"] for line in kept] == ["pixels", "pixels"]
    for line, one in zip(kept, pixels, strict=True):
        content = (samples / "images" / line["image"]).read_bytes()
        np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(content))), one)


def test_grey_pixels_are_kept_too():
    grey = np.arange(64, dtype=np.uint8).reshape(1, 8, 8, 1)
    (content,) = sampling._files(grey)
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(content))), grey[0, :, :, 0])


def test_the_page_says_how_to_read_them(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    there = keeping(".mlops/samples")
    with serving(folder, tmp_path / "service", **there) as client:
        for image in (RED, BLUE):
            client.score(image)
        waited_for(client, kept=2)
    page = PAGE.read_text("utf-8").partition("## Samples")[2]
    (example,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    code = [x for x in ast.parse(example).body if not isinstance(x, ast.Import | ast.ImportFrom)]
    assert len(code) == 3
    found: dict[str, Any] = {}
    exec(example, found)  # noqa: S102 - what a reader would do
    assert found["photos"] == [RED, BLUE]
    assert [max(p, key=p.get) for p in (x["probabilities"] for x in found["answers"])] == [
        "red",
        "blue",
    ]
    for key in found["answers"][0]:
        assert f"| `{key}` |" in page


def test_what_waits_is_written_before_it_ends(folder, samples, tmp_path):
    with serving(folder, tmp_path / "service", code=SLOW, **keeping(samples)) as client:
        for image in (RED, GREEN):
            client.score(image)
    assert len(lines(samples)) == 2


def test_a_slow_disk_costs_samples_and_no_time(folder, samples, tmp_path):
    how = keeping(samples, max_waiting=2 * len(RED) + 1)
    with serving(folder, tmp_path / "service", code=SLOW, **how) as client:
        begin = time.perf_counter()
        assert all(labels(client.score(RED)) == ["red"] for _ in range(10))
        assert time.perf_counter() - begin < 2  # of the 5 s that writing all of them takes
        after = counted(client)
        assert after["dropped"] >= 6
        waited_for(client, kept=10 - after["dropped"], dropped=after["dropped"])
        client.score(RED)
        waited_for(client, kept=11 - after["dropped"], dropped=after["dropped"])


def test_a_broken_disk_costs_no_answer_and_says_so_once(folder, samples, tmp_path):
    with serving(folder, tmp_path / "service", **keeping(samples)) as client:
        client.score(RED)
        waited_for(client, kept=1)
        shutil.rmtree(samples)
        samples.write_text("in the way")
        assert all(labels(client.score(RED)) == ["red"] for _ in range(3))
        waited_for(client, kept=1, failed=3)
        samples.unlink()
        client.score(GREEN)
        waited_for(client, kept=2, failed=3)
        assert news(client) == [("warning", "failed"), ("info", "kept")]
    assert [line["number"] for line in lines(samples)] == [1]


@pytest.mark.parametrize("bound", [{"max_bytes": 6 * 4096}, {"max_files": 4}])
def test_a_full_folder_takes_no_more_and_says_so_once(folder, samples, tmp_path, bound):
    """Also not after the service was killed and started again."""
    photos = [picture((i, i, i)) for i in range(12)]
    for half in (photos[:6], photos[6:]):
        with serving(folder, tmp_path / "service", **keeping(samples, **bound)) as client:
            assert all(client.score(each)[0] == 200 for each in half)
            kept = 0 if half is photos[6:] else counted(client).get("kept", 0)
            deadline = time.monotonic() + 90
            while sum(counted(client).values()) < 6 and time.monotonic() < deadline:
                time.sleep(0.02)
            ended = counted(client)
            assert sum(ended.values()) == 6
            assert ended["full"] >= 2
            assert kept <= ended.get("kept", 0)
            client.process.kill()
            client.process.wait()
    files = [path for part in ("images", "answers") for path in (samples / part).iterdir()]
    assert len(files) <= bound.get("max_files", 99)
    assert sum(-(-path.stat().st_size // 4096) * 4096 for path in files) <= 6 * 4096
    assert len(files) >= 3
    assert news(client)[-1] == ("warning", "full")
    assert len(news(client)) <= 2


def test_a_disk_that_is_nearly_full_takes_nothing(folder, samples, tmp_path):
    with serving(folder, tmp_path / "service", **keeping(samples, min_free=10**18)) as client:
        assert [labels(client.score(RED)) for _ in range(2)] == [["red"]] * 2
        waited_for(client, full=2)
        assert news(client) == [("warning", "full")]
    assert not [*(samples / "images").iterdir()]


@pytest.mark.parametrize("where", ["file", "file/below"])
def test_a_folder_that_can_be_none_is_said_at_the_start(folder, tmp_path, where):
    (tmp_path / "file").write_text("in the way")
    client = start(folder, tmp_path / "service", **keeping(tmp_path / where))
    assert client.process.wait(60) == 1
    text = client.log.read_text("utf-8")
    assert f"samples can not be written to {tmp_path / where}" in text
    assert "sampling.folder" in text
    assert "Traceback" not in text


@pytest.mark.parametrize(
    "change", [{"share": 1.5}, {"share": -0.1}, {"folder": ""}, {"max_bytes": 0}, {"keep": 1}]
)
def test_settings_that_are_none_are_said(folder, samples, tmp_path, change):
    client = start(folder, tmp_path / "service", **keeping(samples, **change))
    assert client.process.wait(60) == 2
    assert f"sampling: {next(iter(change))}" in client.log.read_text("utf-8")
