"""Starting is fast because nothing heavy is imported before it is needed."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from project import CLOUD

ROOT = Path(__file__).resolve().parents[1]
HEAVY = (
    "torch", "torchvision", "pytorch_lightning", "lightning", "azure", "mlflow", "flask",
    "sklearn", "onnxruntime", "openvino", "onnx",
)  # fmt: skip
ENTRY = ("deployers", "scoring", "score")  # for Azure ML's server alone, which brings what it needs

# Imports the modules named on the command line, one after another; prints what each one loaded.
PROBE = """
import importlib, json, sys
loaded = {}
for name in sys.argv[1].split(","):
    before = set(sys.modules)
    importlib.import_module(name)
    new = {module.split(".")[0] for module in set(sys.modules) - before}
    loaded[name] = sorted(new & set(sys.argv[2].split(",")))
print(json.dumps(loaded))
"""


def modules():
    """Every module of the product but the insides of a kind, which are what is heavy."""
    for package in ("mlops_spec", "trainers", "deployers"):
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            if parts == ENTRY:
                continue
            helper = any(part.startswith("_") and not part.startswith("__") for part in parts)
            if not helper and "templates" not in parts:
                yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def test_the_listing_holds_the_engine_the_plugins_and_the_command_line_of_steps():
    found = {*modules()}
    assert {"mlops_spec.cli", "mlops_spec.__main__", "trainers.__main__"} <= found
    assert {"trainers.transfer", "trainers.datasets.folder", "deployers.none"} <= found


def loaded_by(names, heavy=HEAVY):
    words = [sys.executable, "-c", PROBE, ",".join(names), ",".join(heavy)]
    answer = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True)
    return json.loads(answer.stdout)


def test_no_module_of_engine_or_plugins_loads_anything_heavy():
    loaded = loaded_by(modules())
    assert {name: heavy for name, heavy in loaded.items() if heavy} == {}


def test_the_probe_sees_what_is_loaded():
    assert loaded_by(["json", "sqlite3"], ["sqlite3"]) == {"json": [], "sqlite3": ["sqlite3"]}


QUICK = "+experiment=quickstart"
EVERYTHING = (QUICK, *CLOUD, "compute=azureml_gpu_distributed")
PIPELINE = (QUICK, *CLOUD, "compute.shape=pipeline", "compute.schedule='0 6 * * 1'")


@pytest.mark.parametrize(
    ("verb", "words"),
    [
        *(("plan", words) for words in ([QUICK], EVERYTHING, PIPELINE)),
        *(("render", words) for words in (EVERYTHING, PIPELINE)),
        ("show", [QUICK]),
        ("run", ["name=???"]),  # stopped by that, after everything that it imports by itself
    ],
)
def test_a_verb_loads_nothing_heavy(verb, words, tmp_path):
    code = (
        "import sys; from mlops_spec.cli import main; main(sys.argv[2:]);"
        "heavy = set(sys.argv[1].split(',')) & {name.split('.')[0] for name in sys.modules};"
        "print('heavy:', sorted(heavy))"
    )
    command = [sys.executable, "-c", code, ",".join(HEAVY), verb, *words]
    answer = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert answer.stdout.splitlines()[-1] == "heavy: []"
