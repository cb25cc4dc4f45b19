"""The report: one page that a person reads, whatever the model, its classes and its mistakes."""

import io
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import small_bundle
from reports import HOW, SETTINGS, judged, many, small
from test_evaluation import regrown

from mlops_spec import curves, files, learned, manifest, report
from mlops_spec.judging import evaluation, slices
from mlops_spec.report import answers, data


class Page(HTMLParser):
    """What a browser would see of a page."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.links, self.text = [], [], io.StringIO()
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.links += [value for name, value in attrs if name in ("src", "srcset", "data")]
        self.links += [v for name, v in attrs if name == "href" and not v.startswith("#")]
        assert not [name for name, _ in attrs if name.startswith("on")]

    def handle_data(self, data):
        self.text.write(data)

    @property
    def line(self):
        """Its text, whatever the white space."""
        return " ".join(self.text.getvalue().split())


def written(inputs: report.Inputs, out: Path) -> Page:
    report.write(inputs, out)
    return Page((out / "report.html").read_text("utf-8"))


def test_the_report_is_one_self_contained_page(tmp_path):
    page = written(small(tmp_path, wrong=1), tmp_path)
    assert not {"link", "iframe", "object", "embed", "base"} & {*page.tags}
    assert page.tags.count("script") == 1
    # One mistake and five right answers, a pair that is mixed up with three, training images
    assert page.tags.count("img") == 6 + 3 + 6
    assert all(re.match("data:image/(png|jpeg);base64,", link) for link in page.links)
    text = (tmp_path / "report.html").read_text("utf-8")
    assert not re.search(r"https?:|@import|url\(", text)


def test_the_report_shows_the_numbers(tmp_path):
    text = written(small(tmp_path, wrong=1), tmp_path).line
    for shown in (
        "colours: 83.3 % of 6 test images right",
        "Promotedaccuracy 0.8333; there is no champion to beat yet",
        "Always answering blue would be right for 33.3 %",
        "accuracy0.8333 0.5000 to 1.0000",
        "by hand",
        "data 0123456789ab",
        "training.lr0.5",
        "2 of the test images that were made worse",
    ):
        assert shown in text, shown


def test_numbers_have_as_many_digits_as_count():
    pairs = {0.97351: "0.9735", 12.3456: "12.3", 1234.5: "1234", 1.0: "1.0000", -0.5: "-0.5000"}
    assert {value: report.shown(value) for value in pairs} == pairs
    assert report.shown(2.5049) == "2.50"


def test_the_report_shows_how_training_went(tmp_path):
    inputs = small(tmp_path)
    pages = []
    for epochs in ([], [(1, 2.0, 1.0, 0.5, 10), (2, 1.0, 0.5, 0.75, 20)]):
        curves.write(inputs.bundle, epochs)
        pages.append(written(inputs, tmp_path))
    assert pages[0].tags.count("polyline") == 0
    assert pages[1].tags.count("polyline") == 3
    assert "0.500 to 2.000" in pages[1].text.getvalue()
    assert "more of the network learns" in pages[1].text.getvalue()


HOSTILE = ("<b>&\"'ant", "<img src=x onerror=alert(1)>", "{{ 7 * 7 }}|</script>")


def test_the_report_escapes_what_others_wrote(tmp_path):
    inputs = small(tmp_path, HOSTILE, wrong=1)
    settings = {**SETTINGS, "registered_model": "</pre><script>alert(2)</script>"}
    page = written(replace(inputs, settings=settings), tmp_path)
    text = page.text.getvalue()
    assert page.tags.count("img") == 6 + 3 + 6
    assert page.tags.count("script") == 1
    assert page.tags.count("i") == 0
    for label in HOSTILE:
        assert text.count(label) >= 3  # classes, both sides of the matrix
    assert "</pre><script>alert(2)</script>" in text


def test_the_card_is_markdown_whatever_classes_are_called(tmp_path):
    written(small(tmp_path, ("a|b", "c\nd", "*e* <b>"), wrong=1), tmp_path)
    text = (tmp_path / "model_card.md").read_text("utf-8")
    for row in ("| a\\|b | 2 | 0.500 |", "| c d | 2 | 1.000 |", "| \\*e\\* \\<b\\> | 2 | 1.000 |"):
        assert row in text
    for shown in ("# colours", "**Promoted**", "| accuracy | 0.8333 |", "Weakest classes"):
        assert shown in text


def test_a_model_without_mistakes_says_so(tmp_path):
    page = written(small(tmp_path), tmp_path)
    assert "Most confident mistakes\nNone." in re.sub(r"\s*\n\s*", "\n", page.text.getvalue())


def test_champion_and_benchmark_stand_beside_the_challenger(tmp_path):
    inputs = small(tmp_path / "one", wrong=1)
    other = small(tmp_path / "two", wrong=0)
    dataset = manifest.read(inputs.data)
    shares = np.tile([0.5, 0.3, 0.2], (6, 1))
    evaluation.baseline(dataset, shares, tmp_path / "benchmark", 5)
    inputs = replace(inputs, champion=other.evaluation, benchmark=tmp_path / "benchmark")
    text = written(inputs, tmp_path).line
    assert "metricthis modelchampiondifferencebenchmarkdifference" in text
    low = "-0.5000 to +0.0000"  # never better on the same samples
    assert f"accuracy0.8333 0.5000 to 1.0000 1.0000-0.1667 {low}0.3333+0.5000" in text


def test_slices_are_shown_and_what_they_are_worth(tmp_path):
    small_bundle.data_set(tmp_path / "data", wrong=1)
    small_bundle.make(tmp_path / "bundle")
    dataset = manifest.read(tmp_path / "data")
    cameras = {row.path: ("<old>" if "0/" in row.path else "new",) for row in dataset.rows}
    slices.write(tmp_path / "data", dataset, ("camera",), cameras)
    page = written(judged(tmp_path), tmp_path)
    assert "cameranew41.000" in page.line.replace(" ", "")
    assert "camera<old>20.500" in page.line.replace(" ", "")


def test_a_smaller_loss_is_for_the_better():
    metrics = {"log_loss": 0.5, "accuracy": 0.5}
    intervals = {"log_loss": (-0.3, -0.1), "accuracy": (-0.3, -0.1), "brier": (-0.1, 0.1)}
    said = {name: report._difference(name, 0.3, metrics, intervals)["better"] for name in metrics}
    assert said == {"log_loss": True, "accuracy": False}
    assert report._difference("brier", 0.3, {"brier": 0.3}, intervals)["better"] is None


def test_the_gate_s_demands_and_verdict_are_shown(tmp_path):
    inputs = small(tmp_path, wrong=4)
    text = written(inputs, tmp_path).line
    assert "Rejectedaccuracy 0.3333 is below its floor 0.5" in text
    assert "accuracy0.3333at least 0.5missed" in text


def test_what_a_network_looked_at_is_drawn_where_its_trainer_can_tell(tmp_path):
    asked = []

    def attention(images, classes):
        asked.append(classes)
        heat = np.zeros((len(images), 8, 8), np.float32)
        heat[:, :4] = 1
        return heat

    inputs = small(tmp_path, wrong=1)
    plain = written(inputs, tmp_path).tags.count("img")
    page = written(replace(inputs, attention=attention), tmp_path)
    assert page.tags.count("img") == plain + 6
    assert [len(classes) for classes in asked] == [1, 5]
    mistake = evaluation.read(inputs.evaluation, manifest.read(inputs.data).split("test"))
    assert asked[0] == [int(mistake.predictions[~mistake.right][0])]
    assert written(replace(inputs, attention=lambda *_: None), tmp_path).tags.count("img") == plain


@pytest.mark.parametrize(
    ("classes", "table"), [(answers.READABLE, True), (answers.READABLE + 1, False)]
)
def test_a_matrix_that_is_too_large_for_numbers_is_a_picture(tmp_path, classes, table):
    page = written(many(tmp_path, classes, 200, 0.3), tmp_path)
    text = page.text.getvalue()
    assert ("rows: true class" in text) is table
    assert page.tags.count("script") == (1 if table else 2)
    assert all(f"class {number:04}" in text for number in range(classes))


@pytest.mark.slow
def test_a_thousand_classes_and_ten_thousand_mistakes_stay_small(tmp_path):
    page = written(many(tmp_path, 1000, 20_000, 0.6), tmp_path)
    assert (tmp_path / "report.html").stat().st_size < 20e6
    assert "class 0999" in page.text.getvalue()
    assert page.tags.count("details") == 3, "classes, data, findings"


def test_what_is_flattered_is_said_to_be(tmp_path):
    inputs = small(tmp_path, wrong=1)
    document = files.read_json(inputs.evaluation / "metrics.json")
    files.write_json(inputs.evaluation / "metrics.json", {**document, "learned": [1, 2]})
    told = "trained on 2 of the test images: its numbers flatter it"
    assert told in written(inputs, tmp_path).line


def test_images_that_were_left_out_of_a_comparison_are_counted(tmp_path):
    inputs = small(tmp_path / "one", wrong=1)
    other = small(tmp_path / "two")
    small_bundle.make(other.bundle, scale=5.0)
    before = regrown(tmp_path / "before", manifest.read(inputs.data), swapped=1)
    learned.write(other.bundle, before)
    evaluation.evaluate(inputs.data, other.bundle, other.evaluation, HOW)
    again = judged(tmp_path / "one", other.evaluation)
    text = written(again, tmp_path).line
    # One picture of the six is there twice: a red one that is said to be blue
    assert "on the 4 test images that neither was trained on" in text
    assert "also those that one of the two was trained on" in text


def test_labels_are_text_in_the_cells_of_a_large_matrix_too(tmp_path):
    labels = tuple(f"{number:02} </script><x>" for number in range(answers.READABLE + 1))
    page = written(many(tmp_path, labels, 200, 0.3), tmp_path)
    assert page.tags.count("script") == 2
    assert "x" not in page.tags


# The data page


def test_the_data_page_shows_each_class_its_counts_and_what_was_found(tmp_path):
    labels = ("<b>ant", "bee", "wasp")
    rows = small_bundle.data_set(tmp_path / "data", labels).rows
    finding = manifest.Finding("notes.txt", "is <no> image", "unreadable")
    images = manifest.Images((8, 9, 10), (11, 12, 13), {"L": 17}, (0.5, 0.4, 0.3), (0.1,) * 3)
    root = manifest.read(tmp_path / "data").root
    manifest.write(tmp_path / "data", root, rows, manifest.Notes([finding], images))
    page = Page(report.render_data(tmp_path / "data"))
    assert "b" not in page.tags
    assert page.tags.count("img") == 6
    text = page.text.getvalue()
    for shown in ("<b>ant222", "notes.txtis <no> image", "8 / 9 / 10 pixels wide", "17 L"):
        assert shown in text
    for shown in ("mean 0.5 / 0.4 / 0.3", "deviation 0.1 / 0.1 / 0.1"):
        assert shown in text


def test_pictures_that_can_not_be_shown_leave_the_page_whole(tmp_path):
    dataset = small_bundle.data_set(tmp_path / "data")
    for row in dataset.split("train"):
        (dataset.root / row.path).write_bytes(b"no picture")
    page = Page(report.render_data(tmp_path / "data"))
    assert "img" not in page.tags
    assert all(label in page.text.getvalue() for label in dataset.classes)


def test_a_data_page_of_very_many_classes_stays_small(tmp_path):
    labels = tuple(f"class {number:03}" for number in range(300))
    small_bundle.data_set(tmp_path / "data", labels)
    page = Page(report.render_data(tmp_path / "data"))
    assert all(label in page.text.getvalue() for label in labels)
    assert page.tags.count("img") == data._GRID
