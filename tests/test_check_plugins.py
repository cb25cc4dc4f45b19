"""`check` asks the chosen kinds whether this machine is ready for them."""

import errno
import json
import os
import socket
import subprocess
import sys
import time

import pytest
import test_page_start
from pages import answering
from project import write
from scoring import free_port
from toyproject import KINDS, Project

from deployers.scoring.engines import openvino
from mlops_spec import pages, ports, requirements, services

WORDS = ("check", "name=toy", "data=toy", "training=toy")


@pytest.fixture
def checked(project: Project):
    """What `check` finds: (name, text) -> cure; and whether its exit code says the same."""

    def found(*words):
        answer = project.call(*WORDS, *words, "--json")
        documents = [json.loads(line) for line in answer.stdout.splitlines()]
        assert answer.returncode == (4 if any(each["cure"] for each in documents) else 0)
        return {(each["name"], each["text"]): each["cure"] for each in documents}

    return found


def service(*words):
    return ["target=local", *words]


def page(*words):
    where = ["frontend.scoring.url=http://127.0.0.1:9", "frontend.scoring.key=null"]
    return ["frontend=flask", *where, *words]


def test_a_kind_of_a_project_may_say_what_it_misses(project: Project):
    write(project.path, {"deployers/picky.py": PICKY, "conf/target/picky.yaml": "kind: picky\n"})
    answer = project.call(*WORDS, "target=picky")
    assert answer.returncode == 4
    assert "fail  oven        it is cold\n                  heat it\n" in answer.stdout
    assert "ok    salt        toy has some\n" in answer.stdout
    assert project.call("check", *KINDS).returncode == 0  # a kind without


PICKY = """
from typing import Literal
from mlops_spec.spec import OpenSection

class Spec(OpenSection):
    kind: Literal["picky"]

def steps(spec, facts):
    yield from ()

def checks(spec):
    yield "oven", "it is cold", "heat it"
    yield "salt", f"{spec.name} has some", ""
"""


@pytest.mark.parametrize(("make", "name"), [(service, "target"), (page, "frontend")])
def test_an_address_is_free_taken_or_of_another_machine(checked, make, name):
    port = free_port()
    assert checked(*make(f"{name}.port={port}"))[name, f"127.0.0.1:{port} is free"] == ""
    with socket.create_server(("127.0.0.1", port)) as server:
        client = socket.create_connection(("127.0.0.1", port))
        server.accept()[0].close()  # what was there a moment ago is no reason
    client.close()
    assert checked(*make(f"{name}.port={port}"))[name, f"127.0.0.1:{port} is free"] == ""
    with answering(b'{"pid": 1}') as taken:
        cure = checked(*make(f"{name}.port={taken}"))[
            name, f"another program listens at 127.0.0.1:{taken}"
        ]
    assert cure == f"stop it, or choose another {name}.port"
    text = f"nothing can listen at 192.0.2.1: {os.strerror(errno.EADDRNOTAVAIL)}"
    found = checked(*make(f"{name}.host=192.0.2.1"))
    assert found[name, text] == f"choose another {name}.host: an address of this machine"


def test_an_address_that_needs_rights_is_told(checked, monkeypatch):
    refused = PermissionError(errno.EACCES, "Permission denied")
    monkeypatch.setattr(ports, "refusal", lambda *_: refused)
    found = checked(*service("target.port=80"))
    assert (
        "1024 or more" in found["target", "nothing can listen at 127.0.0.1:80: Permission denied"]
    )


def test_nobody_is_let_in_while_a_port_is_tried():
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        assert ports.refusal(*other.getsockname()) is not None
    port, tried = free_port(), []

    class Probe(socket.socket):
        def listen(self, *_):
            tried.append("listened")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ports.socket, "socket", Probe)
        assert ports.refusal("127.0.0.1", port) is None
    assert tried == []


def test_our_own_router_is_no_obstacle_and_that_of_another_folder_is(
    checked, project: Project, tmp_path
):
    port = free_port()
    path = project.path / services.path_of("127.0.0.1", port)
    blue = {"pid": 0, "port": 1, "model": "m", "version": 1, "digest": "d", "bundle": "b"}
    values = {"host": "127.0.0.1", "port": port, "router": 0, "mirror": {}}
    values |= {"deployments": {"blue": {**blue, "log": "l"}}, "traffic": {"blue": 100}}
    limits = {"max_bytes": 1, "body_seconds": 1.0, "answer_seconds": 1.0}
    services.write(path, services.State.model_validate({**values, **limits}))
    words = [sys.executable, "-m", "deployers.scoring.router", "--state", str(path)]
    with subprocess.Popen(words) as router:
        while not ports.answering("127.0.0.1", port):
            time.sleep(0.05)
        found = checked(*service(f"target.port={port}"))
        assert found["target", f"127.0.0.1:{port} is ours, process {router.pid}"] == ""
        project.path = project.path.rename(tmp_path / "other")  # no longer the file that it reads
        found = checked(*service(f"target.port={port}"))
        router.kill()
    assert ("target", f"another program listens at 127.0.0.1:{port}") in found


def test_our_own_page_is_no_obstacle(checked, project: Project):
    port = free_port()
    (project.path / "toy_page.py").write_text(test_page_start.SCRIPT)
    (project.path / "settings.json").write_text("{}")
    told = ["--settings", "settings.json", "--host", "127.0.0.1", "--port", str(port)]
    words = [sys.executable, "-m", "toy_page", *told]
    with subprocess.Popen(words, cwd=project.path, stderr=subprocess.DEVNULL) as running:
        while not ports.answering("127.0.0.1", port):
            time.sleep(0.05)
        note = project.path / pages.path_of("127.0.0.1", port)
        pages.write(note, pages.Page(pid=running.pid, program="toy_page"))
        word = f"frontend.port={port}"
        ours = f"127.0.0.1:{port} is ours, process {running.pid}"
        assert checked(*page(word))["frontend", ours] == ""
        note.write_text("damaged")
        stranger = f"another program listens at 127.0.0.1:{port}"
        assert checked(*page(word))["frontend", stranger]
        running.kill()


def test_a_stranger_where_our_page_should_be_is_told(checked, project: Project):
    """It was noted here and is still there, but another one answers."""
    with answering(b'{"pid": 1}') as port:
        words = ["-c", "import time; time.sleep(60)", "toy_page", "--port", str(port)]
        with subprocess.Popen([sys.executable, *words]) as running:
            note = project.path / pages.path_of("127.0.0.1", port)
            pages.write(note, pages.Page(pid=running.pid, program="toy_page"))
            found = checked(*page(f"frontend.port={port}"))
            running.kill()
    assert found["frontend", f"another program listens at 127.0.0.1:{port}"]


# ---- what is installed, and what it can


def test_an_engine_that_can_compute_is_told(checked):
    assert checked(*service())["engine", "onnxruntime can compute in fp32"] == ""


def test_a_precision_that_an_engine_does_not_have_is_told(checked):
    found = checked(*service("target.serving.precision=bf16"))
    text = "ONNX Runtime does not compute in bf16 on this kind of processor"
    assert "engine: openvino" in found["engine", text]


def test_an_engine_that_is_not_installed_is_told(checked, monkeypatch):
    monkeypatch.setattr(openvino, "PACKAGE", "no_such_package")
    found = checked(*service("target.serving.engine=openvino"))
    assert found["engine", "OpenVINO is not installed"] == "pip install 'mlops_spec[openvino]'"
    found = checked(*service("target.serving.engine=auto"))
    assert found["engine", "onnxruntime can compute in fp32"] == ""
    found = checked(*service("target.serving.engine=auto", "target.serving.precision=bf16"))
    (cure,) = [cure for (name, _), cure in found.items() if name == "engine"]
    assert "mlops_spec[openvino]" in cure


class Processor:
    """An OpenVINO on a processor that has what it is told."""

    able = ("FP32",)

    def Core(self):  # noqa: N802
        return self

    def get_property(self, *_):
        return self.able


@pytest.mark.parametrize("able", [("FP32",), ("FP32", "BF16")])
def test_the_processor_is_asked(checked, monkeypatch, able):
    monkeypatch.setattr(Processor, "able", able)
    monkeypatch.setattr(openvino, "library", Processor)
    monkeypatch.setattr(openvino, "PACKAGE", "json")  # is there on any machine
    words = ["target.serving.engine=openvino", "target.serving.precision=bf16"]
    found = checked(*service(*words))
    text = (
        "openvino can compute in bf16"
        if "BF16" in able
        else "this processor does not compute in bf16"
    )
    assert bool(found["engine", text]) == ("BF16" not in able)


def test_a_page_needs_flask_that_is_new_enough(checked, monkeypatch):
    assert checked(*page())["frontend", "Flask and waitress are installed"] == ""
    found = requirements.version
    monkeypatch.setattr(
        requirements, "version", lambda name: "2.0" if name == "flask" else found(name)
    )
    cure = checked(*page())["frontend", "flask 2.0 does not satisfy >=3.1"]
    assert "pip install 'mlops_spec[frontend]'" in cure


def test_requirements_of_an_extra_are_its_own_alone(monkeypatch):
    monkeypatch.setattr(requirements, "version", lambda _: None)
    assert [*requirements.wanting("frontend")] == ["flask is missing", "waitress is missing"]
    assert "flask is missing" not in [*requirements.wanting()]
