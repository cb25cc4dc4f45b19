"""Processes that are killed while they write the registry, and several that write at once."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from registries import DATABASE, MODELS, SECOND, candidate, mlflow_client

from mlops_spec import champions
from mlops_spec.registering import LocalRegistry

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:The ``noload`` loader:DeprecationWarning"),
    pytest.mark.usefixtures("registered"),
]

# Does something to the registry, and is killed where MLflow's client does the write that is named.
KILLED = """
import os, signal, sys
from pathlib import Path
from mlflow import MlflowClient
from mlops_spec.registering import LocalRegistry

database, models, write, act = sys.argv[1:]
setattr(MlflowClient, write, lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL))
place = LocalRegistry(Path(database), Path(models))
place.promote("digits", 2, "better") if act == "promote" else place.rollback("digits")
"""
# Promotes one version, again and again.
BUSY = """
import sys
from pathlib import Path
from mlops_spec.registering import LocalRegistry

place = LocalRegistry(Path(sys.argv[1]), Path(sys.argv[2]))
for _ in range(5):
    place.promote("digits", int(sys.argv[3]), f"by {sys.argv[3]}")
"""


def start(code, *words):
    command = [sys.executable, "-c", code, str(DATABASE), str(MODELS), *map(str, words)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def alias():
    return int(mlflow_client().get_registered_model("digits").aliases["champion"])


@pytest.mark.parametrize("act", ["promote", "rollback"])
@pytest.mark.parametrize("write", ["set_registered_model_tag", "set_registered_model_alias"])
def test_a_move_that_was_killed_leaves_a_history_that_leads_to_the_champion(act, write):
    place = LocalRegistry(DATABASE, MODELS)
    place.register(candidate(Path("second"), SECOND, 1, 2.0))
    if act == "rollback":
        place.promote("digits", 2, "better")
    before = place.history("digits")
    with start(KILLED, write, act) as process:
        said, _ = process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL, said
    tags = mlflow_client().get_registered_model("digits").tags
    assert len(tags) == len(before) + (write == "set_registered_model_alias")  # the note is there
    assert place.history("digits") == before
    assert before[-1].after == alias()
    move = place.promote("digits", 2, "better") if act == "promote" else place.rollback("digits")
    assert place.history("digits") == [*before, move]
    assert move.after == alias()


def test_promotions_at_once_follow_each_other():
    place = LocalRegistry(DATABASE, MODELS)
    place.register(candidate(Path("second"), SECOND, 1, 2.0))
    place.register(candidate(Path("third"), SECOND, 1, 3.0))
    processes = [start(BUSY, number) for number in (2, 3, 1)]
    for process in processes:
        said, _ = process.communicate(timeout=120)
        assert process.returncode == 0, said
    tags = mlflow_client().get_registered_model("digits").tags
    notes = [champions.noted(tags[key]) for key in sorted(tags)]
    assert place.history("digits") == notes  # none was lost, and each begins where one ended
    assert {move.after for move in notes} == {1, 2, 3}
    assert notes[-1].after == alias()
