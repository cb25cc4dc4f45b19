import os
import subprocess
import sys

import pytest
from filelock import FileLock, Timeout

from mlops_spec import files, store
from mlops_spec.errors import StateError
from mlops_spec.facts import Facts, Lazy, Record
from mlops_spec.files import NewerStateError
from mlops_spec.plan import Planned
from mlops_spec.steps import Step

KEY = "ab" * 32
STEP = Step("train", "local.run", {"command": ["python"], "spec": {"seed": 3}})
PLANNED = Planned(STEP, KEY, "run", "never ran", {"trainers.transfer": "digest"}, {}, {}, None)
RECORD = Record(
    id="train",
    key=KEY,
    action="local.run",
    payload=STEP.payload,
    needs={"data": "cd" * 32},
    code=PLANNED.code,
    text="trained",
    metrics={"val_accuracy": 0.9},
    refused=False,
    seconds=1.5,
)


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def out():
    """The outputs of a finished step."""
    folder = store.begin(PLANNED) / "out"
    files.write_text(folder / "model.onnx", "weights")
    files.write_text(folder / "below" / "report.html", "page")
    store.finish(RECORD, "mine")
    return folder


def found():
    """The step as another run would find it."""
    return store.finished()[KEY]


RESULT = store.folder(KEY) / "result.json"
POINTER = store.ROOT / "experiments" / "mine.json"


@pytest.mark.usefixtures("out")
def test_a_finished_step_is_found_again_as_it_was():
    assert found() == RECORD
    assert store.latest("mine")["train"] == RECORD


def test_what_never_ran_is_not_found():
    assert found() is None
    assert store.latest("mine")["train"] is None


def test_the_recorded_spec_lies_beside_the_outputs(out):
    assert files.read_json(out.parent / "spec.json") == {"schema_version": 1, "seed": 3}


@pytest.mark.usefixtures("out")
def test_experiments_remember_their_own_last_steps():
    assert store.latest("other")["train"] is None
    store.remember(RECORD, "other")
    assert store.latest("other")["train"] == RECORD


@pytest.mark.usefixtures("out")
def test_the_last_step_of_an_id_replaces_the_one_before():
    files.write_json(store.folder("ef" * 32) / "result.json", {})
    store.remember(Record(**{**vars(RECORD), "key": "ef" * 32}), "mine")
    assert store.latest("mine")["train"].key == "ef" * 32


# Damage


def test_a_changed_size_is_damage(out):
    files.write_text(out / "model.onnx", "other weights")
    assert found().damage == "its output model.onnx was changed"


def test_other_content_of_the_same_size_is_damage(out):
    files.write_text(out / "model.onnx", "WEIGHTS")
    os.utime(out / "model.onnx", ns=(0, 0))
    assert found().damage == "its output model.onnx was changed"


def test_a_missing_output_is_damage(out):
    (out / "below" / "report.html").unlink()
    assert found().damage == "its output below/report.html is gone"


def test_a_file_that_was_only_touched_is_intact(out):
    os.utime(out / "model.onnx", ns=(0, 0))
    assert found() == RECORD


def test_a_copied_folder_is_intact(out):
    content = (out / "model.onnx").read_bytes()
    (out / "model.onnx").unlink()
    (out / "model.onnx").write_bytes(content)
    assert found() == RECORD


def test_a_file_that_is_not_an_output_does_not_matter(out):
    files.write_text(out.parent / "log.txt", "epoch 1")
    files.write_text(out / "notes.txt", "mine")
    assert found() == RECORD


def damaged_results():
    good = {**vars(RECORD), "schema_version": 1, "outputs": {}}
    del good["damage"]
    text = files.canonical(good)
    yield "empty", b""
    yield "truncated", text[: len(text) // 2]
    yield "zeros", bytes(len(text))
    yield "binary", b"\xff\xfe\x00"
    yield "no mapping", b"[1]"
    yield "a number", b"7"
    yield "no version", files.canonical({**good, "schema_version": None})
    yield "odd version", files.canonical({**good, "schema_version": "one"})
    yield "nothing in it", files.canonical({"schema_version": 1})
    yield "a field more", files.canonical({**good, "colour": "red"})
    yield "a field less", files.canonical({k: v for k, v in good.items() if k != "code"})
    yield "outputs no mapping", files.canonical({**good, "outputs": ["model.onnx"]})
    yield "outputs without digest", files.canonical({**good, "outputs": {"model.onnx": [7]}})
    yield "another step's", files.canonical({**good, "key": "ef" * 32})


@pytest.mark.usefixtures("out")
@pytest.mark.parametrize(("name", "content"), [*damaged_results()])
def test_a_damaged_record_is_a_reason_to_run_again(name, content):
    RESULT.write_bytes(content)
    assert str(RESULT) in found().damage, name


@pytest.mark.usefixtures("out")
@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"\xff", b'{"schema_version": 1, "train": 5}'],
    ids=["empty", "truncated", "no mapping", "binary", "no key"],
)
def test_a_damaged_memory_of_an_experiment_only_forgets(content):
    POINTER.write_bytes(content)
    assert store.latest("mine")["train"] is None
    store.remember(RECORD, "mine")
    assert store.latest("mine")["train"] == RECORD


@pytest.mark.usefixtures("out")
@pytest.mark.parametrize("path", [RESULT, POINTER], ids=["result", "experiment"])
def test_state_of_a_newer_version_is_refused_and_left_alone(path):
    newer = path.read_text("utf-8").replace('"schema_version": 1', '"schema_version": 2')
    path.write_text(newer, encoding="utf-8")
    with pytest.raises(NewerStateError, match=r"newer mlops_spec \(schema version 2") as error:
        store.latest("mine")["train"]
    assert "upgrade mlops_spec" in str(error.value)
    assert str(path) in str(error.value)
    assert path.read_text("utf-8") == newer


@pytest.mark.usefixtures("out")
def test_a_newer_memory_is_not_written_over():
    POINTER.write_text('{"schema_version": 2, "train": "?"}', encoding="utf-8")
    with pytest.raises(NewerStateError):
        store.remember(RECORD, "mine")


@pytest.mark.usefixtures("out")
def test_the_store_answers_the_facts_that_a_plan_reads():
    facts = Facts("images", Lazy(dict), finished=store.finished(), latest=store.latest("mine"))
    assert facts.finished.get(KEY) == RECORD
    assert facts.finished.get("ef" * 32) is None
    assert facts.latest.get("gate") is None


# Interruption


def test_what_an_interrupted_attempt_left_is_kept():
    checkpoint = store.begin(PLANNED) / "out" / ".checkpoints" / "last.ckpt"
    files.write_text(checkpoint, "epoch 3")
    store.begin(PLANNED)
    assert checkpoint.read_text("utf-8") == "epoch 3"
    assert found().damage == "it did not finish the last time"


def test_outputs_of_a_finished_step_are_cleared_before_it_runs_again(out):
    store.begin(PLANNED)
    assert [*out.iterdir()] == []
    assert found().damage == "it did not finish the last time"


@pytest.mark.usefixtures("out")
def test_files_appear_whole_or_not_at_all(monkeypatch):
    def full(*_args):
        raise OSError(28, "No space left on device")

    before = RESULT.read_bytes()
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        store.finish(RECORD, "mine")
    assert RESULT.read_bytes() == before
    assert sorted(path.name for path in RESULT.parent.iterdir()) == [
        "out",
        RESULT.name,
        "spec.json",
    ]


# Locks

HOLD = """
import sys
from mlops_spec import store

with store.{lock}:
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder():
    """Starts another process that holds a lock until it is told to end."""
    started = []

    def hold(lock):
        words = [sys.executable, "-c", HOLD.format(lock=lock)]
        process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        started.append(process)
        assert process.stdout.readline() == "held\n"
        return process

    yield hold
    for process in started:
        process.kill()
        process.communicate()


def test_a_second_run_of_an_experiment_is_refused_until_the_first_one_ends(holder):
    other = holder("only_run('mine')")
    with (
        pytest.raises(StateError, match="another run of mine is at work in this folder") as error,
        store.only_run("mine"),
    ):
        pytest.fail("two runs at once")
    assert "wait for it to end, then run the same command again" in str(error.value)
    with store.only_run("another experiment"):
        pass
    other.communicate()
    with store.only_run("mine"):
        pass


def test_a_killed_run_leaves_no_lock_behind(holder):
    other = holder("only_run('mine')")
    other.kill()
    other.communicate()
    with store.only_run("mine"):
        pass


def test_a_step_that_another_process_performs_is_waited_for(holder):
    other = holder(f"only_step('{KEY}')")
    with pytest.raises(Timeout):
        FileLock(store.folder(KEY) / "lock").acquire(timeout=0)
    other.communicate()
    with store.only_step(KEY), pytest.raises(Timeout):
        FileLock(store.folder(KEY) / "lock").acquire(timeout=0)


def test_the_root_explains_itself_and_is_not_committed():
    store.open_root()
    assert "Deleting steps/ costs only time" in (store.ROOT / "README").read_text("utf-8")
    assert (store.ROOT / ".gitignore").read_text("utf-8") == "*\n"
