"""The emulator starts once on a folder, keeps what it knows, and ends with all that it started."""

import json
import os
import signal
import socket
import subprocess
import time
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import ProxyHandler, Request, build_opener

import emulation
import pytest

JOB = "echo $$ > ${{outputs.out}}/pid.txt; sleep 300"


def test_without_node_it_says_what_to_install(tmp_path):
    answer = emulation.emulator(
        "--state", str(tmp_path / "state"), env={**os.environ, "PATH": str(tmp_path)}
    )
    assert answer.returncode == 1
    assert "node is not here" in answer.stderr
    assert "apt-get install npm" in answer.stderr
    assert not (tmp_path / "state" / "emulator.json").exists()


def test_a_failed_installation_says_why(tmp_path):
    """An npm that can not reach its registry."""
    for tool, script in {"node": "exit 0", "npm": "echo no registry >&2; exit 1"}.items():
        path = tmp_path / "bin" / tool
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\n{script}\n", "utf-8")
        path.chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}"}
    environment["XDG_CACHE_HOME"] = str(tmp_path / "cache")
    answer = emulation.emulator("--state", str(tmp_path / "state"), env=environment)
    assert answer.returncode == 1
    assert "npm could not install azurite" in answer.stderr
    assert "no registry" in answer.stderr


def test_its_variables_are_asked_of_one_that_runs(tmp_path):
    for verb in (["env"], ["fault", "[]"]):
        answer = emulation.emulator(*verb, "--state", str(tmp_path))
        assert answer.returncode == 1
        assert f"no emulator is running on {tmp_path}" in answer.stderr
    gone = {"schema_version": 1, "pid": 2**22 - 1, "environment": {}}
    (tmp_path / "emulator.json").write_text(json.dumps(gone), "utf-8")
    assert "is gone" in emulation.emulator("env", "--state", str(tmp_path)).stderr


@pytest.mark.parametrize(
    ("switch", "given", "wanted"),
    [
        ("--workspace", "lab", "SUBSCRIPTION/GROUP/NAME"),
        ("--container", "state", "ACCOUNT/NAME"),
        ("--container", "state/two--dashes", "ACCOUNT/NAME"),
    ],
)
def test_what_is_to_be_there_has_all_its_names(tmp_path, switch, given, wanted):
    answer = emulation.emulator("--state", str(tmp_path), switch, given)
    assert answer.returncode == 1
    assert f"write {wanted}" in answer.stderr


def alive(pid):
    """Whether a process runs; one that nobody has waited for does not."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text("utf-8")
    except FileNotFoundError:
        return False


def children(pid):
    """Processes that a process has started."""
    return [
        int(path.parent.name)
        for path in Path("/proc").glob("[0-9]*/stat")
        if path.exists() and path.read_text("utf-8").rpartition(")")[2].split()[1] == str(pid)
    ]


def gone(pids, seconds=15):
    until = time.monotonic() + seconds
    while any(alive(pid) for pid in pids):
        if time.monotonic() > until:
            return False
        time.sleep(0.1)
    return True


def submitted(ml, folder, script):
    """A job of a client that has just met the workspace."""
    from azure.ai.ml import Output
    from azure.ai.ml import command as make
    from azure.ai.ml.entities import Environment

    ml.environments.create_or_update(Environment(name="e", version="1", image="ubuntu:22.04"))
    code = str(emulation.photos(folder / "code", {"main.py": "pass"}))
    outputs = {"out": Output(type="uri_folder")}
    settings = {"environment": "azureml:e:1", "outputs": outputs, "experiment_name": "tries"}
    return ml.jobs.create_or_update(make(code=code, command=script, **settings)).name


def pid_of(state):
    """The process of the one job that runs."""
    until = time.monotonic() + emulation.SECONDS
    written = ""
    while not written.endswith("\n"):
        assert time.monotonic() < until
        time.sleep(0.1)
        written = "".join(p.read_text("utf-8") for p in state.glob("jobs/*/*/outputs/out/pid.txt"))
    return int(written)


@pytest.mark.slow
def test_two_on_one_folder_are_refused(tmp_path):
    with emulation.running(tmp_path / "state") as azure:
        answer = emulation.emulator("--state", str(azure.state))
        assert answer.returncode == 1
        assert f"another emulator is running on {azure.state}" in answer.stderr
        assert azure.process.poll() is None


@pytest.mark.slow
def test_what_it_tells_its_clients(tmp_path):
    with emulation.running(tmp_path / "state") as azure:
        answer = emulation.emulator("env", "--state", str(azure.state))
        lines = dict(
            line.removeprefix("export ").split("=", 1) for line in answer.stdout.splitlines()
        )
        assert lines == azure.document["environment"]
        assert lines["HTTPS_PROXY"] == azure.document["proxy"]
        for name in ("emulator.json", "secrets.json", "ca.key"):
            assert (azure.state / name).stat().st_mode & 0o077 == 0, name
        listening = subprocess.run(
            ["ss", "-Hltnp"], capture_output=True, text=True, check=False
        ).stdout
        own = [line for line in listening.splitlines() if f"pid={azure.process.pid}," in line]
        assert all("127.0.0.1:" in line.split()[3] for line in own)
        asked_for_nothing_else(azure)


def asked_for_nothing_else(azure):
    """A proxy for emulated names, and faults for whoever has the secret."""
    port = int(azure.document["proxy"].rpartition(":")[2])
    for line in ("CONNECT example.com:443 HTTP/1.1", "GET http://example.com/ HTTP/1.1"):
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.sendall(f"{line}\r\nHost: example.com\r\n\r\n".encode())
            assert connection.recv(1000).startswith(b"HTTP/1.1 403 ")
    asked = Request(azure.document["control"], b"[]", method="PUT")  # noqa: S310 - loopback
    with pytest.raises(HTTPError, match="401"):
        build_opener(ProxyHandler({})).open(asked)
    answer = emulation.emulator("fault", "--state", str(azure.state), '[{"kind": "fire"}]')
    assert answer.returncode == 1
    assert "'throttle'" in answer.stderr


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_told_to_end_it_ends_with_all_that_it_started(tmp_path):
    with emulation.running(tmp_path / "state") as azure:
        submitted(emulation.client(), tmp_path, JOB)
        pids = [*children(azure.process.pid), pid_of(azure.state)]
        assert len(pids) >= 2
        assert all(alive(pid) for pid in pids)
        assert azure.stop() == 0
        assert gone(pids, seconds=1)
        assert not (azure.state / "emulator.json").exists()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_restart_keeps_what_was_there(tmp_path):
    from azure.ai.ml.entities import Data

    path = str(emulation.photos(tmp_path / "photos"))
    with emulation.running(tmp_path / "state") as azure:
        ml = emulation.client()
        ml.data.create_or_update(Data(name="d", version="1", type="uri_folder", path=path))
        name = submitted(ml, tmp_path, "echo kept > ${{outputs.out}}/a.txt; echo said")
        assert emulation.ended(ml, name).status == "Completed"
        assert azure.stop() == 0
    with emulation.running(tmp_path / "state"):
        ml = emulation.client()
        assert ml.data.get("d", version="1").type == "uri_folder"
        assert ml.jobs.get(name).status == "Completed"
        ml.jobs.download(name, download_path=str(tmp_path / "down"), all=True)
        found = emulation.contents(tmp_path / "down")
        assert found["named-outputs/out/a.txt"] == "kept\n"
        assert found["artifacts/user_logs/std_log.txt"] == "said\n"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_after_it_was_killed_nothing_is_left_and_its_jobs_have_failed(tmp_path):
    with emulation.running(tmp_path / "state") as azure:
        ml = emulation.client()
        name = submitted(ml, tmp_path, JOB)
        started, job = children(azure.process.pid), pid_of(azure.state)
        azure.stop(signal.SIGKILL)
        assert gone([pid for pid in started if pid != job])
        (azure.state / "emulator.json").unlink()
    with emulation.running(tmp_path / "state"):
        assert gone([job], seconds=1)
        ml = emulation.client()
        assert ml.jobs.get(name).status == "Failed"
        error = ml.jobs._runs_operations.get_run_details(name).error
        assert "was stopped" in error.error.message
