"""The command line around the verbs: the first page, Hydra's own commands, check and init."""

import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest
from toyproject import KINDS, Project

from mlops_spec import cli, requirements
from mlops_spec.errors import ExitCode


def test_no_words_print_a_short_page_with_every_verb_and_exit_code(capsys) -> None:
    assert cli.main([]) == ExitCode.DONE
    page = capsys.readouterr().out
    assert len(page.splitlines()) < 40
    for verb in cli.VERBS:
        assert f"\n  {verb} " in page
    for code in ExitCode:
        assert f"\n  {int(code)} " in page
    assert cli.main(["--help"]) == ExitCode.DONE
    assert capsys.readouterr().out == page


def test_version(capsys) -> None:
    assert cli.main(["--version"]) == ExitCode.DONE
    assert re.fullmatch(r"\d+\.\d+\.\d+\n", capsys.readouterr().out)


def test_hydras_own_commands_see_our_configuration(project: Project) -> None:
    answer = project.run("plan", *KINDS, "--cfg", "job")
    assert answer.returncode == 0, answer.stderr
    assert "rounds: 3" in answer.stdout
    assert not (project.path / "outputs").exists()


@pytest.mark.parametrize("line", ["mlops_spec training=", "mlops_spec plan training="])
def test_shell_completion_offers_options_with_or_without_a_verb(
    project: Project, line: str
) -> None:
    environment = {**os.environ, "COMP_LINE": line, "COMP_POINT": str(len(line))}
    answer = project.run("-sc", "query=bash", env=environment)
    assert answer.stdout.split() == ["training=toy", "training=transfer"], answer.stderr


def test_shell_completion_installs() -> None:
    words = [str(Path(sys.executable).parent / "mlops_spec"), "-sc", "install=bash"]
    answer = subprocess.run(words, capture_output=True, text=True, check=True)
    assert "complete " in answer.stdout


def test_terminal_gets_a_live_table_and_a_pipe_plain_lines(finished: Project) -> None:
    main, child = pty.openpty()
    command = [sys.executable, "-m", "mlops_spec", *KINDS, "target.note=live.txt"]
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "120"}
    with subprocess.Popen(command, cwd=finished.path, stdout=child, env=environment) as process:
        os.close(child)
        shown = b""
        while True:
            try:
                shown += os.read(main, 65536)
            except OSError:  # the terminal is closed
                break
    os.close(main)
    assert process.returncode == 0
    text = re.sub(rb"\x1b\[[0-9;?]*[A-Za-z]", b"", shown).decode()
    assert b"\x1b[" in shown
    assert re.search(r"deploy +✓ done +toy", text)
    assert "\x1b" not in finished.run(*KINDS, "target.note=plain.txt").stdout


@pytest.mark.parametrize(
    ("switches", "variables", "colourful"),
    [([], {}, True), (["--no-color"], {}, False), ([], {"NO_COLOR": "1"}, False)],
)
def test_colours_can_be_turned_off(
    finished: Project, switches: list[str], variables: dict, *, colourful: bool
) -> None:
    main, child = pty.openpty()
    command = [sys.executable, "-m", "mlops_spec", "plan", *KINDS, *switches]
    environment = {**os.environ, "TERM": "xterm", **variables}
    subprocess.run(command, cwd=finished.path, stdout=child, env=environment, check=True)
    os.close(child)
    shown = os.read(main, 65536)
    os.close(main)
    assert (b"\x1b[" in shown) == colourful


@pytest.mark.parametrize(
    ("argv", "what"),
    [
        (["quickstart"], "did you mean +experiment=quickstart?"),
        (["plan", "quickstart"], "did you mean +experiment=quickstart?"),
        (["+experiment=quickstart", "plan"], "did you mean plan?"),
        (["plan"], "choose an experiment by +experiment=NAME"),
        (["show", "-m", "+experiment=quickstart", "seed=1,2"], "leave out -m"),
        (["plan", "--check", "+experiment=quickstart"], "--check belongs to schema"),
        (["show", "+experiment=quickstart", "experiment=ants_bees"], "one run has one experiment"),
        (["init", "x", "+experiment=quickstart"], "init takes no KEY=VALUE"),
        (["schema", "foo=1"], "schema takes no KEY=VALUE"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_near_miss_is_answered_with_what_was_meant(argv, what, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli.main(argv) == ExitCode.BAD_SPEC
    assert what in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("argv", [["plan", "--help"], ["run", "-h"], ["help"]])
def test_help_is_there_wherever_it_is_asked_for(argv, capsys) -> None:
    assert cli.main(argv) == ExitCode.DONE
    assert "verbs" in capsys.readouterr().out


def test_terminal_without_our_marks_is_no_failure(finished: Project) -> None:
    done = finished.run("plan", *KINDS, env={**os.environ, "PYTHONIOENCODING": "ascii"})
    assert (done.returncode, done.stderr) == (0, "")


def test_reader_that_leaves_early_ends_it_without_a_word(finished: Project) -> None:
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "mlops_spec", "show", *KINDS]
    done = subprocess.run(
        command, cwd=finished.path, stdout=write, stderr=subprocess.PIPE, text=True, check=False
    )
    os.close(write)
    assert (done.returncode, done.stderr) == (130, "")


def test_check_finds_what_is_not_ready(project: Project, monkeypatch) -> None:
    monkeypatch.delenv("TOY_TOKEN", raising=False)
    ready = project.call("check", *KINDS)
    assert ready.returncode == 0, ready.stdout
    assert "toy is valid" in ready.stdout
    word = "compute.environment.TOY='${secret:TOY_TOKEN}'"
    wanting = project.call("check", *KINDS, word, "--json")
    assert wanting.returncode == 4
    (bad,) = [f for f in map(json.loads, wanting.stdout.splitlines()) if not f["ok"]]
    assert bad["name"] == "secret"
    assert bad["cure"] == "set the environment variable TOY_TOKEN"


def test_check_tells_whether_signatures_can_be_made(project: Project, monkeypatch) -> None:
    monkeypatch.setenv("SIGNING_KEY", "any")
    words = ["check", *KINDS, "lineage.sign_with=${secret:SIGNING_KEY}"]
    assert "cryptography, for signatures, is installed" in project.call(*words).stdout
    assert "cryptography" not in project.call("check", *KINDS).stdout
    monkeypatch.setattr("mlops_spec.signing.is_installed", lambda: False)
    answer = project.call(*words)
    assert answer.returncode == 4
    assert "pip install 'mlops_spec[signing]'" in answer.stdout


def test_check_tells_of_a_bad_spec_and_missing_accelerator(project: Project) -> None:
    answer = project.call("check", *KINDS, "training.round=1")
    assert answer.returncode == 4
    assert "did you mean rounds?" in answer.stdout


def test_check_compares_installed_versions_with_the_requirements(monkeypatch) -> None:
    assert list(requirements.wanting()) == []
    monkeypatch.setattr(requirements, "version", lambda name: None if name == "torch" else "0.0.1")
    wanting = list(requirements.wanting())
    assert "torch is missing" in wanting
    assert any(text.startswith("pydantic 0.0.1 does not satisfy") for text in wanting)


def test_init_makes_a_project_that_works_and_refuses_to_overwrite(tmp_path) -> None:
    here = Project(tmp_path)
    answer = here.call("init", "pets")
    assert answer.returncode == 0, answer.stderr
    pets = Project(tmp_path / "pets")
    assert "*.tfstate*" in (pets.path / ".gitignore").read_text()  # it holds secrets
    assert pets.call("plan", "+experiment=first").returncode == 0
    assert pets.call("schema", "--check").returncode == 0
    again = here.call("init", "pets")
    assert again.returncode == 2
    assert "choose a new folder" in again.stderr
    assert here.call("init").returncode == 2


def test_kinds_folder_that_would_hide_ours_is_refused_with_the_cure(project: Project) -> None:
    (project.path / "trainers" / "__init__.py").touch()
    answer = project.run("plan", *KINDS)
    assert answer.returncode == 2
    assert "a folder of kinds needs none" in answer.stderr
