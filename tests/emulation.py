"""An emulator as a process of its own, and Azure's own SDK that talks to it."""

import json
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import azure_descriptions
import pytest
from written import records

SUBSCRIPTION = "11111111-2222-3333-4444-555555555555"
GROUP, NAME = "rg-emulated", "mlw-emulated"
ADDRESS = f"{SUBSCRIPTION}/{GROUP}/{NAME}"
# Installed once for every test run, beside the environment that runs them
AZURITE = Path(sys.prefix) / "azurite"
COMMAND = (sys.executable, "-m", "mlops_spec.emulator")
AT_FIRST = dict(os.environ)  # before a test was sent to an emulator; npm may need any of it
FINAL = ("Completed", "Failed", "Canceled")
SECONDS = 90


def needed():
    """Skips, loudly, what can not be tried here."""
    for tool in ("node", "npm"):
        if shutil.which(tool) is None:
            pytest.skip(f"LOUD: {tool} is absent: the emulator was not tried")
    if not Path(sysconfig.get_path("purelib"), "azure", "ai", "ml").is_dir():
        pytest.skip("LOUD: azure-ai-ml is not installed: pip install 'mlops_spec[azure]'")


def emulator(*words, **more):
    """A command line of the emulator's, to its end."""
    return subprocess.run(
        [*COMMAND, *words], capture_output=True, text=True, check=False, timeout=SECONDS, **more
    )


@dataclass
class Emulator:
    """A running one."""

    process: subprocess.Popen
    state: Path

    @property
    def document(self):
        return json.loads((self.state / "emulator.json").read_text("utf-8"))

    def faults(self, *faults):
        """Asks for faults instead of those that wait."""
        answer = emulator("fault", "--state", str(self.state), json.dumps(faults))
        assert answer.returncode == 0, answer.stderr

    def stop(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        return self.process.wait(timeout=SECONDS)


def start(state, *words):
    """Starts one, and waits until it can be asked."""
    log = state.parent / f"{state.name}.log"
    with log.open("ab") as output:
        process = subprocess.Popen(
            [*COMMAND, "--state", str(state), "--azurite", str(AZURITE), "--record", *words],
            env={**AT_FIRST, "MADE_UP_TOKEN": "secret-of-the-emulator"},
            stdout=output,
            stderr=output,
        )
    until = time.monotonic() + SECONDS * 2  # npm installs, the first time
    while not (state / "emulator.json").exists():
        assert process.poll() is None, log.read_text("utf-8")
        assert time.monotonic() < until
        time.sleep(0.05)
    return Emulator(process, state)


@contextmanager
def running(state, *words):
    """An emulator with one workspace, and this process sent there."""
    needed()
    found = start(state, "--workspace", ADDRESS, *words)
    try:
        with pytest.MonkeyPatch.context() as patch:
            for name, value in found.document["environment"].items():
                patch.setenv(name, value)
            yield found
    finally:
        if found.process.poll() is None:
            found.stop()
    if azure_descriptions.ROOT.is_dir():
        wrong = {what for line in exchanges(state) for what in azure_descriptions.problems(line)}
        assert not wrong, "\n".join(sorted(wrong))


def client(workspace=NAME):
    """Azure's SDK, as anybody uses it."""
    from azure.ai.ml import MLClient
    from azure.identity import DefaultAzureCredential

    words = (SUBSCRIPTION, GROUP, workspace)
    return MLClient(DefaultAzureCredential(), *words, enable_telemetry=False)


def ended(ml, name):
    """A job when it has ended."""
    until = time.monotonic() + SECONDS
    while (job := ml.jobs.get(name)).status not in FINAL:
        assert time.monotonic() < until, job.status
        time.sleep(0.2)
    return job


def reached(ml, name, status):
    """Waits until a job is in a state."""
    until = time.monotonic() + SECONDS
    while (found := ml.jobs.get(name).status) != status:
        assert found not in FINAL, found
        assert time.monotonic() < until, found
        time.sleep(0.1)


def photos(folder, files=None):
    """A folder to upload."""
    for name, text in (files or {"a.txt": "one", "cats/b.txt": "two"}).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    return folder


def contents(folder):
    """Every file below a folder, with what is in it."""
    return {
        path.relative_to(folder).as_posix(): path.read_text("utf-8")
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def ready():
    """A client, and an environment for jobs."""
    from azure.ai.ml.entities import Environment

    found = client()
    found.environments.create_or_update(Environment(name="e", version="1", image="ubuntu:22.04"))
    return found


def submit(ml, script, job=None, **output):
    """Starts a job with one output; what else it is to be is in `job`."""
    from azure.ai.ml import Output
    from azure.ai.ml import command as make

    outputs = {"out": Output(type="uri_folder", **output)}
    settings = {"environment": "azureml:e:1", "outputs": outputs, "experiment_name": "tries"}
    words = {**settings, **(job or {})}
    timeout = words.pop("timeout", None)
    made = make(command=script, **words)
    if timeout:
        made.set_limits(timeout=timeout)
    return ml.jobs.create_or_update(made).name


def completed(ml, script, **more):
    """Runs a job to its good end."""
    name = submit(ml, script, **more)
    status = ended(ml, name).status
    assert status == "Completed", ml.jobs._runs_operations.get_run_details(name).error
    return name


def downloaded(ml, name, folder, **more):
    """What a job has left: its log, and more."""
    ml.jobs.download(name, download_path=str(folder), **more)
    return contents(folder)


def exchanges(state):
    """What was recorded."""
    return records(state / "traffic.jsonl")
