import os
import platform

from mlops_spec import machine


def test_a_machine_is_described_without_what_is_unknown(tmp_path, monkeypatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(machine, "_DRIVER", tmp_path / "nothing")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 3, 5}, raising=False)
    found = machine.describe()
    assert found["platform"] == platform.platform()
    assert found["cpus"] == "3"
    assert found.keys().isdisjoint({"gpus", "OMP_NUM_THREADS"})
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    assert machine.describe()["OMP_NUM_THREADS"] == "2"


def test_gpus_are_those_that_the_driver_lists(tmp_path, monkeypatch) -> None:
    for name in ("0000:01:00.0", "0000:02:00.0"):
        (tmp_path / name).mkdir()
        text = "Model: \t\t NVIDIA H100 80GB HBM3\nIRQ:   \t\t 57\n"
        (tmp_path / name / "information").write_text(text)
    monkeypatch.setattr(machine, "_DRIVER", tmp_path)
    assert machine.describe()["gpus"] == "NVIDIA H100 80GB HBM3, NVIDIA H100 80GB HBM3"


def test_the_processor_is_the_kernel_s_name_or_what_python_knows(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(machine, "_CPUS", tmp_path / "cpuinfo")
    monkeypatch.setattr(platform, "processor", lambda: "arm")
    assert machine.describe()["processor"] == "arm"
    (tmp_path / "cpuinfo").write_text("processor\t: 0\nmodel name\t: One: of a kind\n" * 2)
    assert machine.describe()["processor"] == "One: of a kind"
