"""`kind: NAME` is a module in a known folder; nothing else can be named or gets imported."""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path

import pytest
from project import ROOT, write
from toyproject import working_in

from mlops_spec import kinds
from mlops_spec.errors import MlopsError

MODULE = "NAME = __name__\n"
BROKEN = "raise RuntimeError('imported, though nobody chose it')\n"
FOLDERS = {group: ROOT.joinpath(*package.split(".")) for group, package in kinds.GROUPS.items()}


@pytest.fixture(autouse=True)
def _project(tmp_path):
    with working_in(tmp_path):
        yield


def listed(group: str) -> list[str]:
    return sorted(p.stem for p in FOLDERS[group].glob("*.py") if not p.stem.startswith("_"))


@pytest.mark.parametrize("group", kinds.GROUPS)
def test_the_folder_is_the_list_of_kinds(group):
    assert kinds.names(group) == listed(group) != []


@pytest.mark.parametrize(("group", "kind"), [(g, k) for g in kinds.GROUPS for k in listed(g)])
def test_every_kind_has_a_spec_that_accepts_its_own_name_only(group, kind):
    fields = kinds.load(group, kind).Spec.model_fields
    assert fields["kind"].annotation.__args__ == (kind,)


def test_a_project_adds_kinds_of_its_own(tmp_path):
    write(tmp_path, {"trainers/datasets/toy_data.py": MODULE, "deployers/frontends/toy.py": MODULE})
    assert kinds.names("data") == sorted([*listed("data"), "toy_data"])
    assert kinds.load("data", "toy_data").NAME == "trainers.datasets.toy_data"
    assert kinds.load("frontend", "toy").NAME == "deployers.frontends.toy"
    assert kinds.load("data", "digits").Spec  # the installed ones are still there


def test_only_the_chosen_module_is_imported(tmp_path):
    write(tmp_path, {"deployers/chosen.py": MODULE, "deployers/other.py": BROKEN})
    write(tmp_path, {"deployers/_helper.py": BROKEN})
    assert kinds.names("target") == sorted([*listed("target"), "chosen", "other"])
    assert kinds.load("target", "chosen").NAME == "deployers.chosen"
    with pytest.raises(RuntimeError, match="nobody chose it"):  # the trap works
        kinds.load("target", "other")


@pytest.mark.parametrize(
    ("group", "kind", "meant"),
    [
        ("data", "digit", "digits"),
        ("data", "Folder", "folder"),
        ("training", "tranfser", "transfer"),
        ("target", "nnoe", "none"),
    ],
)
def test_a_misspelt_kind_is_answered_with_the_likely_one_and_all_there_are(group, kind, meant):
    with pytest.raises(kinds.UnknownKindError) as caught:
        kinds.load(group, kind)
    assert repr(kind) in caught.value.message
    assert f"did you mean {meant}?" in caught.value.message
    assert f"(known: {', '.join(listed(group))})" in caught.value.message


TRICKS = [
    "../x",
    "../../etc/passwd",
    "/etc/passwd",
    "os",
    "sys",
    "os.path",
    "subprocess",
    "_torch",
    "_torch.loop",
    "__init__\n__main__",
    "datasets",
    "datasets.folder",
    "transfer.py",
    ".transfer",
    "..transfer",
    "transfer.",
    "transfer/",
    "TRANSFER",
    "*\n[!_]*",
    "transfer,transfer",
    "none\x00",
]


@pytest.mark.parametrize("kind", [*TRICKS, "", " ", "trans\nfer"])
def test_nothing_but_a_listed_name_is_ever_imported(tmp_path, kind):
    write(tmp_path, {"x.py": BROKEN, "trainers/_torch.py": BROKEN, "trainers/y.py": MODULE})
    before = set(sys.modules)
    with pytest.raises(kinds.UnknownKindError):
        kinds.load("training", kind)
    assert set(sys.modules) == before


def test_a_package_of_the_project_that_hides_ours_is_refused_with_a_cure(tmp_path, monkeypatch):
    write(tmp_path, {"deployers/__init__.py": "", "deployers/toy.py": MODULE})
    for name in [name for name in sys.modules if name.partition(".")[0] == "deployers"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(tmp_path)  # as `python -m` does
    with pytest.raises(MlopsError, match="hides the installed package deployers") as caught:
        kinds.load("target", "toy")
    assert str(tmp_path / "deployers" / "__init__.py") in caught.value.message
    assert "delete that file" in caught.value.cure


def digests(module: str = "trainers.toy") -> dict[str, str]:
    return kinds.code(module)


def change(name: str) -> None:
    """Appends a line, and moves the time that a cache may look at."""
    path = Path(name)
    path.write_text(path.read_text() + "# changed\n")
    os.utime(path, ns=(1, path.stat().st_mtime_ns + 1_000_000_000))


TOY = {
    "trainers/toy.py": "import os\n\ndef train():\n    from trainers import _inside\n",
    "trainers/_inside.py": "import trainers._deep\nfrom mlops_spec.files import sha256_of\n",
    "trainers/_deep.py": "from mlops_spec.spec import Spec\n",
    "trainers/_relative.py": "X = 1\n",
    "trainers/toy_relative.py": "from ._relative import X\n",
    "trainers/_circle.py": "from trainers import toy_circle\n",
    "trainers/toy_circle.py": "from trainers import _circle\n",
    "trainers/other.py": "import trainers.toy\n",
    "trainers/datasets/toy_data.py": MODULE,
    "notes.py": "X = 1\n",
}


def test_the_code_of_a_kind_is_its_module_and_all_it_imports_of_ours(tmp_path):
    write(tmp_path, TOY)
    own = {name: hashlib.sha256(text.encode()).hexdigest() for name, text in TOY.items()}
    found = digests()
    assert {
        "trainers.toy",
        "trainers._inside",
        "trainers._deep",
        "mlops_spec.files",
    } <= found.keys()
    assert found["trainers.toy"] == own["trainers/toy.py"]
    assert found["trainers._deep"] == own["trainers/_deep.py"]
    assert not found.keys() & {
        "os",
        "trainers.other",
        "trainers.datasets.toy_data",
        "mlops_spec.spec",
    }


@pytest.mark.parametrize("name", ["trainers/toy.py", "trainers/_inside.py", "trainers/_deep.py"])
def test_a_change_in_code_that_performs_changes_the_digests(tmp_path, name):
    write(tmp_path, TOY)
    before = digests()
    change(name)
    changed = {module for module, digest in digests().items() if before[module] != digest}
    assert changed == {name.removesuffix(".py").replace("/", ".")}


@pytest.mark.parametrize("name", ["trainers/other.py", "trainers/datasets/toy_data.py", "notes.py"])
def test_a_change_in_other_code_leaves_the_digests_alone(tmp_path, name):
    write(tmp_path, TOY)
    before = digests()
    change(name)
    assert digests() == before


def test_what_only_carries_a_request_leaves_finished_work_valid():
    names = ("spec", "step_spec", "steps", "plan", "kinds", "errors", "cli", "run", "registry")
    carried = {f"mlops_spec.{name}" for name in names}
    for group in kinds.GROUPS:
        for kind in kinds.names(group):
            assert not carried & kinds.code(f"{kinds.GROUPS[group]}.{kind}").keys()


def test_what_is_imported_for_types_alone_performs_nothing(tmp_path):
    write(tmp_path, TOY)
    lines = ["from typing import TYPE_CHECKING", "if TYPE_CHECKING:", "    import trainers.other"]
    write(tmp_path, {"trainers/toy.py": "\n".join([*lines, "else:", "    import trainers._deep"])})
    assert "trainers._deep" in digests()
    assert "trainers.other" not in digests()


def test_a_package_s_templates_are_its_code_and_those_further_down_are_not(tmp_path):
    write(tmp_path, {**TOY, "trainers/room/__init__.py": "X = 1\n"})
    write(tmp_path, {"trainers/toy.py": "from trainers import room\n"})
    before = digests()
    write(tmp_path, {"trainers/room/page.html.j2": "<p>", "trainers/room/below/note.txt": "x"})
    after = digests()
    assert {name for name in after if after[name] != before[name]} == {"trainers.room"}
    write(tmp_path, {"trainers/room/below/note.txt": "y"})
    assert digests() == after


def test_a_change_of_what_draws_heat_trains_nothing():
    from trainers import transfer

    assert kinds._source(transfer.ATTENTION) is not None
    assert transfer.ATTENTION not in kinds.code("trainers.transfer")


def test_the_shipped_trainer_is_performed_by_its_torch_code_the_data_sets_are_not():
    assert "trainers._torch.loop" in kinds.code("trainers.transfer")
    assert "trainers.transfer" in kinds.code("trainers.transfer")
    assert not any("_torch" in name for name in kinds.code("trainers.datasets.folder"))
    assert "mlops_spec.manifest" in kinds.code("trainers.datasets.folder")


def test_relative_imports_count_as_well(tmp_path):
    write(tmp_path, TOY)
    assert "trainers._relative" in digests("trainers.toy_relative")


def test_modules_that_import_each_other_are_all_found(tmp_path):
    write(tmp_path, TOY)
    assert {"trainers.toy_circle", "trainers._circle"} <= digests("trainers.toy_circle").keys()


def test_code_is_read_not_run(tmp_path):
    write(
        tmp_path,
        {"trainers/toy.py": BROKEN + "import trainers._deep\n", "trainers/_deep.py": BROKEN},
    )
    assert {"trainers.toy", "trainers._deep"} <= digests().keys()


def test_the_digests_are_those_of_the_very_module_that_is_loaded(tmp_path):
    write(tmp_path, {"trainers/datasets/digits.py": MODULE})  # the same name as an installed kind
    loaded = Path(kinds.load("data", "digits").__file__).read_bytes()
    name = "trainers.datasets.digits"
    assert kinds.code(name)[name] == hashlib.sha256(loaded).hexdigest()
