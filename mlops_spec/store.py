"""What is kept between runs: finished steps by key, below `.mlops/`, and the locks around them.

    .mlops/steps/<key>/          spec.json, log.txt, out/ and, once finished, result.json
    .mlops/experiments/<name>    the last finished step of each id, for the reasons in a plan

This is make's idea with digests for times: a step is finished when its `result.json` is there and
the outputs it lists are what they were.
"""

from __future__ import annotations

import shutil
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops_spec import files
from mlops_spec.errors import StateError
from mlops_spec.facts import Lazy, Record
from mlops_spec.files import NewerStateError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlops_spec.plan import Planned

ROOT = Path(".mlops")
_KEY_LENGTH = 16  # of a folder's name: 64 bits of the key

_README = """\
What mlops_spec keeps between runs: finished steps (steps/), registered models (models/), the
tracking and registry database (mlflow.db), downloaded and unpacked data sets (data/).
Deleting steps/ costs only time: they run again. After deleting data/ delete steps/ too.
Deleting models/ or mlflow.db loses registered models.
"""


def open_root() -> None:
    """Makes the folder, with a note for whoever finds it."""
    readme = ROOT / "README"
    if not readme.exists():
        files.write_text(readme, _README)
        files.write_text(ROOT / ".gitignore", "*\n")


def folder(key: str) -> Path:
    """Where a step works and leaves its outputs."""
    return ROOT / "steps" / key[:_KEY_LENGTH]


def outputs(key: str) -> Path:
    """The outputs of a step."""
    return folder(key) / "out"


@contextmanager
def only_run(experiment: str) -> Iterator[None]:
    """Holds off a second run of the same experiment in the same folder.

    Raises:
        StateError: Another run holds it.
    """
    from filelock import FileLock, Timeout  # a plan, which waits for nobody, is without it

    path = ROOT / "locks" / f"{experiment}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(path, timeout=0):
            yield
    except Timeout as error:
        message = f"another run of {experiment} is at work in this folder"
        raise StateError(message, "wait for it to end, then run the same command again") from error


@contextmanager
def only_step(key: str) -> Iterator[None]:
    """Holds a step that several experiments share until whoever performs it is done."""
    from filelock import FileLock

    path = folder(key)
    path.mkdir(parents=True, exist_ok=True)
    with FileLock(path / "lock"):
        yield


def finished() -> Lazy[Record | None]:
    """Records of finished steps by key, read when asked for."""
    return Lazy(_read)


def latest(experiment: str) -> Lazy[Record | None]:
    """The last record of each step id in one experiment."""
    try:
        keys = files.read_json(_pointer(experiment))
    except NewerStateError:
        raise
    except (FileNotFoundError, StateError):
        keys = {}  # it only serves to explain; without it steps "never ran"
    return Lazy(lambda step_id: _read(key) if isinstance(key := keys.get(step_id), str) else None)


def _pointer(experiment: str) -> Path:
    return ROOT / "experiments" / f"{experiment}.json"


def _read(key: str) -> Record | None:
    path = folder(key) / "result.json"
    try:
        document = files.read_json(path)
        listed = document.pop("outputs")
        del document["schema_version"]
        record = Record(**document)
        damage = _damage(outputs(key), listed)
    except FileNotFoundError:
        begun = outputs(key).is_dir()
        return _damaged(key, "it did not finish the last time") if begun else None
    except NewerStateError:
        raise
    except (StateError, TypeError, KeyError, ValueError, AttributeError):
        return _damaged(key, f"{path} is damaged")
    if record.key != key:
        return _damaged(key, f"{path} belongs to another step")
    return replace(record, damage=damage)


def _damaged(key: str, why: str) -> Record:
    return Record("", key, "", {}, {}, {}, "", {}, refused=False, seconds=0, damage=why)


def _damage(out: Path, listed: dict[str, list[Any]]) -> str:
    """Why outputs are not what they were; sizes and times are compared first, as git does."""
    for name, (size, mtime_ns, digest) in listed.items():
        path = out / name
        try:
            stat = path.stat()
        except OSError:
            return f"its output {name} is gone"
        if [stat.st_size, stat.st_mtime_ns] == [size, mtime_ns]:
            continue
        if stat.st_size != size or files.sha256_file(path) != digest:
            return f"its output {name} was changed"
    return ""


def begin(planned: Planned) -> Path:
    """Prepares a step's folder; what an interrupted attempt left in `out/` stays, to go on from."""
    path = folder(planned.key)
    result = path / "result.json"
    if result.exists():  # finished once, and not usable any more
        shutil.rmtree(path / "out", ignore_errors=True)
        result.unlink()
    (path / "out").mkdir(parents=True, exist_ok=True)
    part = planned.step.payload.get("spec")
    if part is not None:
        files.write_json(path / "spec.json", part)
    return path


def finish(record: Record, experiment: str) -> None:
    """Records a finished step; from here on it is reused."""
    listing = _listing(outputs(record.key))
    contents = {name: digest for name, (_, _, digest) in listing.items()}
    document = asdict(replace(record, digest=files.sha256_of(contents)))
    del document["damage"]
    document["outputs"] = listing
    files.write_json(folder(record.key) / "result.json", document)
    remember(record, experiment)


def remember(record: Record, experiment: str) -> None:
    """Notes a step as the experiment's last of its id."""
    path = _pointer(experiment)
    try:
        known = files.read_json(path)
    except NewerStateError:
        raise
    except (FileNotFoundError, StateError):
        known = {}
    if known.get(record.id) != record.key:
        files.write_json(path, {**known, record.id: record.key})


def _listing(out: Path) -> dict[str, list[Any]]:
    found = {}
    for path in sorted(out.rglob("*")):
        if path.is_file() and not path.name.startswith("."):  # a killed write's leftovers
            stat = path.stat()
            name = str(path.relative_to(out))
            found[name] = [stat.st_size, stat.st_mtime_ns, files.sha256_file(path)]
    return found
