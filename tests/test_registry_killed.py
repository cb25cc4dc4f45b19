"""Processes that are killed while they write the registry, and several that write at once."""

import signal
from pathlib import Path

import pytest
from registries import (
    DATABASE,
    FIRST,
    MODELS,
    SECOND,
    candidate,
    mlflow_client,
    process,
    promote_at_once,
)

from mlops_spec import champions, registry
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
place.promote("digits", 2, "better", 1) if act == "promote" else place.rollback("digits")
"""
# Registers a model again, and is killed where its bundle would take the place of the one there.
EXCHANGED = """
import os, signal, sys
from pathlib import Path
from registries import SECOND, candidate, origin
from mlops_spec.registering import LocalRegistry

database, models, number = sys.argv[1:]
replace = Path.replace

def stop(path, target):
    if path.name.endswith(".partial"):
        os.kill(os.getpid(), signal.SIGKILL)
    return replace(path, target)

Path.replace = stop
again = candidate(Path("again"), SECOND, int(number), 2.0, metrics={"accuracy": 0.5})
LocalRegistry(Path(database), Path(models)).register(again)
"""


def start(code, *words):
    return process(code, DATABASE, MODELS, *words)


def alias():
    return int(mlflow_client().get_registered_model("digits").aliases["champion"])


@pytest.mark.parametrize("act", ["promote", "rollback"])
@pytest.mark.parametrize("write", ["set_registered_model_tag", "set_registered_model_alias"])
def test_a_move_that_was_killed_leaves_a_history_that_leads_to_the_champion(act, write):
    place = LocalRegistry(DATABASE, MODELS)
    place.register(candidate(Path("second"), SECOND, 1, 2.0))
    if act == "rollback":
        place.promote("digits", 2, "better", 1)
    before = place.history("digits")
    with start(KILLED, write, act) as process:
        said, _ = process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL, said
    tags = mlflow_client().get_registered_model("digits").tags
    assert len(tags) == len(before) + (write == "set_registered_model_alias")  # the note is there
    assert place.history("digits") == before
    assert before[-1].after == alias()
    acts = {
        "promote": lambda: place.promote("digits", 2, "better", 1),
        "rollback": lambda: place.rollback("digits"),
    }
    move = acts[act]()
    assert place.history("digits") == [*before, move]
    assert move.after == alias()


@pytest.mark.parametrize("act", ["register", "promote", "rollback"])
def test_a_bundle_whose_successor_never_came_is_put_back_by_the_next_write(act):
    place = LocalRegistry(DATABASE, MODELS)
    place.register(candidate(Path("second"), SECOND, 1, 2.0))
    place.promote("digits", 2, "better", 1)
    if act == "rollback":
        place.register(candidate(Path("third"), SECOND, 2, 3.0))
        place.promote("digits", 3, "better", 2)
    before = place.versions("digits")
    with start(EXCHANGED, 1) as process:
        said, _ = process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL, said
    champion = place.versions("digits")[1]
    home, aside = Path(champion.path), registry.aside_of(Path(champion.path))
    assert (champion.intact, home.exists()) == (False, False)
    assert f"a registration that was killed left it as {aside.name}" in registry.damage(champion)
    acts = {
        "register": lambda: place.register(candidate(Path("first"), FIRST, 0, 1.0)),
        "promote": lambda: place.promote("digits", 1, "better", 2),
        "rollback": lambda: place.rollback("digits"),
    }
    acts[act]()
    assert not aside.exists()
    assert registry.damage(champion) == ""
    assert place.versions("digits")[1].metrics == before[1].metrics == {"accuracy": 0.75}
    if act == "rollback":
        assert alias() == 2
    again = place.register(candidate(Path("again"), SECOND, 1, 2.0, metrics={"accuracy": 0.5}))
    assert registry.damage(again) == ""
    assert [path for path in home.parent.iterdir() if path.name.startswith(".")] == []


def test_promotions_at_once_follow_each_other():
    place = LocalRegistry(DATABASE, MODELS)
    place.register(candidate(Path("second"), SECOND, 1, 2.0))
    place.register(candidate(Path("third"), SECOND, 1, 3.0))
    promote_at_once("", 5)
    tags = mlflow_client().get_registered_model("digits").tags
    notes = [champions.noted(tags[key]) for key in sorted(tags)]
    assert place.history("digits") == notes  # none was lost, and each begins where one ended
    assert {move.after for move in notes} == {1, 2, 3}
    assert notes[-1].after == alias()
