"""`lineage.json` and its signature: what they say, and what a reader refuses."""

import base64
import json
import subprocess
from pathlib import Path

import lineages
import pytest
import registries

from mlops_spec import files, lineage
from mlops_spec.errors import StateError


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    weights = {"source": "model:digits/1", "digest": "ab" * 32}
    path = tmp_path_factory.mktemp("lineage")
    return lineages.registered(path, lineages.key(), baseline=1, weights=weights)


def test_it_says_where_a_model_comes_from(folder):
    found = json.loads((folder / "lineage.json").read_bytes())
    assert found.pop("registered").endswith("Z")
    digests = {p.name: files.sha256_file(p) for p in folder.iterdir() if "lineage" not in p.name}
    assert digests.keys() == {"model.json", "model.onnx", "model.safetensors", "report.html"}
    code = {"trainers.transfer": "7d" * 32}
    assert found == {
        "schema_version": 1,
        "model": "digits",
        "bundle": lineages.digest(folder),
        "files": digests,
        "train": lineages.TRAIN,
        "trainer": "by hand",
        "spec": {"seed": 0, "model": {"backbone": "brightness"}},
        "data_digest": "0123456789abcdef",
        "code": {"modules": code, "digest": files.sha256_of(code)},
        "versions": {"onnx": "1"},
        "metrics": {"accuracy": 0.75},
        "gate": {"verdict": "promote", "reason": "better"},
        "parents": {
            "champion": {"version": 1, "digest": "c4" * 32},
            "weights": {"source": "model:digits/1", "digest": "ab" * 32},
        },
    }


def test_it_is_canonical_and_the_same_but_for_its_time(folder, tmp_path):
    content = (folder / "lineage.json").read_bytes()
    assert content == files.canonical(json.loads(content))
    weights = {"source": "model:digits/1", "digest": "ab" * 32}
    again = lineages.registered(tmp_path, baseline=1, weights=weights)
    both = [json.loads((one / "lineage.json").read_bytes()) for one in (folder, again)]
    assert [one.pop("registered")[-1] for one in both] == ["Z", "Z"]
    assert both[0] == both[1]


def test_it_is_no_part_of_what_a_model_is(tmp_path):
    before = lineages.digest(lineages.registered(tmp_path))
    lineages.changed(tmp_path, model="letters")
    assert lineages.digest(tmp_path) == before


def test_without_a_key_there_is_no_signature(tmp_path):
    lineages.registered(tmp_path)
    assert not (tmp_path / "lineage.sig.json").exists()
    assert lineage.read(tmp_path / "lineage.json").model == "digits"


def test_what_is_signed_are_the_bytes_of_the_file_as_other_programs_verify_them(folder, tmp_path):
    said = json.loads((folder / "lineage.sig.json").read_bytes())
    assert (said["schema_version"], said["algorithm"]) == (1, "ed25519")
    raw = base64.b64decode(said["public_key"] + "=")
    (tmp_path / "key.der").write_bytes(bytes.fromhex("302a300506032b6570032100") + raw)
    (tmp_path / "signature").write_bytes(base64.b64decode(said["signature"]))
    words = ["openssl", "pkeyutl", "-verify", "-pubin", "-keyform", "DER", "-inkey", "key.der"]
    words += ["-rawin", "-in", str(folder / "lineage.json"), "-sigfile", "signature"]
    try:
        done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("LOUD: openssl is not here: nobody else looked at a signature")
    assert "Signature Verified Successfully" in done.stdout, done.stderr


WHOLE = {
    "a text": b"hello",
    "nothing": b"",
    "half of it": b'{"schema_version": 1, "model"',
    "a list": b"[1]",
    "a number that is none": b'{"schema_version": 1, "metrics": {"accuracy": NaN}}',
    "nested too deeply": b'{"spec": ' + b"[" * 100_000,
    "no UTF-8": b'{"schema_version": 1, "model": "\xff"}',
    "no version": b"{}",
    "a version that is none": b'{"schema_version": "new"}',
    "a version before the first": b'{"schema_version": 0}',
    "a yes for a version": b'{"schema_version": true}',
}


@pytest.mark.parametrize("content", WHOLE.values(), ids=WHOLE.keys())
@pytest.mark.parametrize("part", [lineage.Lineage, lineage.Signature], ids=["lineage", "signature"])
def test_a_damaged_file_is_one_clear_error(part, content):
    with pytest.raises(StateError, match=r"x\.json is damaged") as caught:
        lineage.parsed(part, content, Path("x.json"))
    assert len(str(caught.value)) < 700
    assert caught.value.cure


def test_a_newer_version_is_left_to_a_newer_program(folder):
    content = json.dumps({"schema_version": 2, "more": 1}).encode()
    with pytest.raises(StateError, match="newer mlops_spec") as caught:
        lineage.parsed(lineage.Lineage, content, folder / "lineage.json")
    assert "upgrade" in caught.value.cure


WRONG = {
    "a key too many": ({"more": 1}, "more"),
    "a key too few": ({"train": ...}, "train"),
    "a number for a text": ({"model": 7}, "model"),
    "a digest that is none": ({"bundle": "5bf3"}, "bundle"),
    "a path out of the folder": ({"files": {"../secret": "ab" * 32}}, "own folder"),
    "a path from the root": ({"files": {"/etc/passwd": "ab" * 32}}, "own folder"),
    "a path of Windows": ({"files": {"..\\secret": "ab" * 32}}, "own folder"),
    "a path below": ({"files": {"a/b": "ab" * 32}}, "own folder"),
    "the folder itself": ({"files": {".": "ab" * 32}}, "own folder"),
    "the folder above": ({"files": {"..": "ab" * 32}}, "own folder"),
    "no name": ({"files": {"": "ab" * 32}}, "own folder"),
    "a name that ends early": ({"files": {"model.json\0": "ab" * 32}}, "own folder"),
    "a name that moves the cursor": ({"model": "digits\x1b[2J"}, "model"),
    "a name of two lines": ({"model": "digits\n"}, "model"),
    "no name of a model": ({"model": ""}, "model"),
    "a time that forges a line": ({"registered": "2026-11-25T10:18:40Z\n  signed"}, "registered"),
    "a time that is none": ({"registered": "yesterday"}, "registered"),
    "a parent of another kind": ({"parents": {"champion": 1, "weights": None}}, "parents"),
    "no parents": ({"parents": {}}, "parents"),
}


@pytest.mark.parametrize(("change", "what"), WRONG.values(), ids=WRONG.keys())
def test_what_a_lineage_can_not_say_is_refused(change, what, folder):
    said = {**json.loads((folder / "lineage.json").read_bytes()), **change}
    content = json.dumps({k: v for k, v in said.items() if v is not ...}).encode()
    with pytest.raises(StateError, match=r"lineage\.json is damaged") as caught:
        lineage.parsed(lineage.Lineage, content, folder / "lineage.json")
    assert what in caught.value.message


def test_what_is_no_plain_file_or_huge_is_not_read(folder, tmp_path):
    path = tmp_path / "lineage.json"
    with path.open("wb") as file:
        file.truncate(5 * 2**20)
    with pytest.raises(StateError, match="5242880 bytes; it has 4194304 at most"):
        lineage.read(path)
    path.unlink()
    path.symlink_to(folder / "lineage.json")
    with pytest.raises(StateError, match="no plain file"):
        lineage.read(path)
    path.unlink()
    path.mkdir()
    with pytest.raises(StateError, match="no plain file"):
        lineage.read(path)
    path.rmdir()
    with pytest.raises(FileNotFoundError):
        lineage.read(path)


def test_origins_that_no_registration_can_have_are_refused():
    known = registries.origin().origin.model_dump()
    with pytest.raises(ValueError, match="trainers"):
        lineage.Origin.model_validate({**known, "code": {"trainers.transfer": "first"}})
