"""Whether a bundle is what was registered: everything that can be done to one is seen."""

import json
import os
import shutil

import lineages
import pytest

from mlops_spec import bundle, lineage, verification
from mlops_spec.errors import MlopsError, StepError
from mlops_spec.verification import Expected

FILES = ("model.safetensors", "model.onnx", "model.json", "report.html")
TRUSTED = Expected(trusted_key=lineages.public())


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return lineages.registered(tmp_path_factory.mktemp("made") / "bundle", lineages.key())


@pytest.fixture
def folder(made, tmp_path):
    return shutil.copytree(made, tmp_path / "bundle")


def problems(folder, expected=TRUSTED):
    return [*verification.check(folder, expected).problems]


@pytest.mark.parametrize("trusted", [lineages.public(), lineages.public() + "=", ""])
def test_a_bundle_that_nobody_touched_is_fine(folder, trusted):
    expected = Expected(trusted, "digits", lineages.digest(folder))
    found = verification.check(folder, expected)
    assert found.problems == ()
    assert found.signer == lineages.public()
    verification.demand(folder, expected)


@pytest.mark.parametrize("name", FILES)
def test_one_changed_byte_in_any_file_is_seen(folder, name):
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / name).write_bytes(content)
    assert f"{name} was changed" in problems(folder)
    with pytest.raises(StepError, match=f"{name} was changed"):
        verification.demand(folder, TRUSTED)


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_seen(folder, name):
    (folder / name).unlink()
    assert problems(folder) == [f"{name} is gone"]


def test_whatever_was_added_is_seen(folder):
    (folder / "code.py").write_text("")
    (folder / ".hidden").write_text("")
    (folder / "more").mkdir()
    (folder / "odd\x1b[2Jname").write_text("")
    added = [".hidden was added", "code.py was added", "more was added"]
    assert problems(folder) == [*added, "odd\\x1b[2Jname was added"]


@pytest.mark.parametrize("name", FILES)
def test_a_link_is_no_file_of_a_bundle_even_to_the_same_bytes(folder, name):
    (folder / name).rename(folder.parent / name)
    (folder / name).symlink_to(folder.parent / name)
    assert problems(folder) == [f"{name} is no plain file"]


def test_a_pipe_or_a_folder_in_place_of_a_file_does_not_hold_anybody_up(folder):
    (folder / "model.json").unlink()
    os.mkfifo(folder / "model.json")
    (folder / "report.html").unlink()
    (folder / "report.html").mkdir()
    assert problems(folder) == ["model.json is no plain file", "report.html is no plain file"]


def test_a_changed_lineage_is_seen_by_its_signature(folder):
    lineages.changed(folder, registered="2020-01-01T00:00:00Z")
    why = "its signature is not valid: lineage.json was changed, or signed by another key"
    assert problems(folder) == problems(folder, Expected()) == [why]


def test_a_lineage_that_is_only_written_otherwise_is_not_what_was_signed(folder):
    lineages.changed(folder)  # with spaces
    assert len(problems(folder)) == 1


def test_a_signature_by_another_key_is_not_the_trusted_one_s(folder):
    other = Expected(trusted_key=lineages.public(2))
    said = f"it is signed by {lineages.public()}; lineage.trusted_key is {lineages.public(2)}"
    assert problems(folder, other) == [said]


def test_the_trusted_key_s_name_on_another_s_signature_is_not_enough(folder):
    lineages.registered(folder.parent / "forged", lineages.key(2))
    path = folder.parent / "forged" / "lineage.sig.json"
    said = {**json.loads(path.read_bytes()), "public_key": lineages.public()}
    path.write_text(json.dumps(said))
    assert problems(folder.parent / "forged")[0].startswith("its signature is not valid")


def test_a_bundle_that_is_not_signed_will_do_until_a_signature_is_demanded(folder):
    (folder / "lineage.sig.json").unlink()
    found = verification.check(folder, Expected())
    assert (found.problems, found.signer) == ((), "")
    assert problems(folder) == [f"it is not signed; lineage.trusted_key is {lineages.public()}"]


DAMAGED = {
    "no JSON": ("?", "lineage.sig.json is damaged"),
    "newer": ('{"schema_version": 2}', "newer mlops_spec"),
    "a key that is none": ({"public_key": "abc"}, "32 bytes, or PEM"),
    "a signature that is no base64": ({"signature": "é"}, "no base64"),
    "a signature too short": ({"signature": "abcd"}, "not valid"),
    "another algorithm": ({"algorithm": "none"}, "algorithm"),
    "huge": (" " * (5 * 2**20), "at most"),
}


@pytest.mark.parametrize(("change", "what"), DAMAGED.values(), ids=DAMAGED.keys())
def test_a_damaged_signature_is_said_whether_one_is_demanded_or_not(folder, change, what):
    path = folder / "lineage.sig.json"
    said = json.loads(path.read_bytes())
    path.write_text(change if isinstance(change, str) else json.dumps({**said, **change}))
    for expected in (TRUSTED, Expected()):
        (problem,) = problems(folder, expected)
        assert what in problem
        assert "\n" not in problem


def test_a_signature_that_is_a_link_counts_for_nothing(folder):
    path = folder / "lineage.sig.json"
    path.rename(folder.parent / "elsewhere.json")
    path.symlink_to(folder.parent / "elsewhere.json")
    assert problems(folder) == ["lineage.sig.json is no plain file"]


def test_a_lineage_can_not_move_the_cursor(folder):
    lineages.changed(folder, **{"\x1b[2J\n": 1})
    assert [text.isprintable() for text in problems(folder)] == [True]


def test_without_a_lineage_nothing_is_known(folder):
    (folder / "lineage.json").write_text("{")
    assert "lineage.json is damaged" in problems(folder)[0]
    (folder / "lineage.json").unlink()
    assert problems(folder) == [
        "it has no lineage.json: it was registered by an older mlops_spec, or not at all"
    ]
    shutil.rmtree(folder)
    assert problems(folder) == ["its folder is gone"]


def test_a_sound_bundle_in_another_s_place_is_seen(folder):
    there = Expected(lineages.public(), "letters", "ab" * 32)
    assert problems(folder, there) == [
        "it was registered as 'digits', not as 'letters'",
        "it is another model than the version that was registered",
    ]


def resigned(folder, **values):
    """What the owner of the key can say."""
    said = lineage.read(folder / "lineage.json").model_copy(update=values)
    lineage.write(folder, said, lineages.key())


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"metrics": {"accuracy": 1.0}}, "model.json and lineage.json differ in metrics"),
        ({"data_digest": "x"}, "model.json and lineage.json differ in data_digest"),
        ({"spec": {}}, "model.json and lineage.json differ in spec"),
        ({"versions": {}}, "model.json and lineage.json differ in versions"),
        ({"trainer": "x"}, "model.json and lineage.json differ in trainer"),
        ({"bundle": "ab" * 32}, "contradicts itself: bundle"),
        ({"code": lineage.Code(modules={}, digest="ab" * 32)}, "contradicts itself: code.digest"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_lineage_has_to_agree_with_the_card_and_with_itself(folder, change, what):
    resigned(folder, **change)
    (problem,) = problems(folder)
    assert what in problem


def test_a_card_of_other_files_is_seen_even_when_it_is_signed(folder):
    card = bundle.read(folder).model_copy(update={"digests": {}})
    (folder / "model.json").write_text(bundle.cards.text(card))
    digests = {name: bundle.files.sha256_file(folder / name) for name in FILES}
    resigned(folder, files=digests)
    assert problems(folder) == ["model.json and lineage.json differ in digests"]


def test_a_card_that_nobody_understands_is_one_line_among_others(folder):
    (folder / "model.json").write_text("{")
    first, second = problems(folder)
    assert first == "model.json was changed"
    assert "model.json is damaged" in second
    assert "\n" not in second


def test_a_refusal_names_all_that_is_wrong_and_the_way_out(folder):
    (folder / "report.html").unlink()
    (folder / "more").touch()
    with pytest.raises(StepError) as caught:
        verification.demand(folder, Expected(lineages.public(2)))
    for part in ("is refused", "signed by", "report.html is gone", "more was added"):
        assert part in caught.value.message
    assert "lineage.sign_with" in caught.value.cure


def test_without_the_package_a_signature_is_an_error_and_none_is_fine(folder, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda *_: None)
    with pytest.raises(MlopsError, match="need the package cryptography"):
        problems(folder)
    (folder / "lineage.sig.json").unlink()
    assert problems(folder, Expected()) == []
