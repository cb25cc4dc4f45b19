"""What the page about the emulator says works, as it is written there."""

import re
import shlex
from pathlib import Path

import emulation
import pytest

PAGE = Path(__file__).parents[1] / "docs" / "emulator.md"


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)


def command(verb):
    """A command line of the page's, without `python -m mlops_spec.emulator`."""
    lines = [line for block in blocks("sh") for line in block.splitlines()]
    (found,) = [line for line in lines if f"mlops_spec.emulator {verb}" in line]
    return shlex.split(found.partition("mlops_spec.emulator ")[2])


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_the_page_s_program_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    _, state, *workspace = command("--state")
    with emulation.running(tmp_path / state, *workspace) as azure:
        (program,) = blocks("python")
        exec(program, {})  # noqa: S102 - what a reader would do
        said = capsys.readouterr().out
        assert said.endswith("counter 1\n")
        assert (tmp_path / "down/named-outputs/model/count.txt").read_text() == "1 photo\n"
        words = command("fault")
        words[words.index("--state") + 1] = str(azure.state)
        assert emulation.emulator(*words).returncode == 0
