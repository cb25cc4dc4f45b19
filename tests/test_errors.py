"""Errors a person can act on, and the exit codes that tell a machine."""

from __future__ import annotations

import errno
import itertools
import os

import pytest

from mlops_spec import cli, errors
from mlops_spec.errors import ExitCode, MlopsError, Problem, SpecError, StateError, worst

# From best to worst, as a sweep ranks its members.
ORDER = [0, 3, 4, 5, 1, 2, 130]
DISK = [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EMFILE]


def test_of_any_two_outcomes_the_graver_one_wins_whatever_their_order():
    codes = [ExitCode(number) for number in ORDER]
    for better, graver in itertools.combinations(codes, 2):
        assert worst([better, graver]) is worst([graver, better]) is graver


def test_nothing_at_all_is_done():
    assert worst([]) is ExitCode.DONE


def test_every_exit_code_has_a_rank_and_a_meaning():
    assert sorted(errors.SEVERITY) == sorted(ExitCode) == sorted(errors.EXIT_MEANINGS)
    assert len(set(errors.EXIT_MEANINGS.values())) == len(ExitCode)


def test_the_exit_codes_are_the_documented_ones():
    assert {code.name: int(code) for code in ExitCode} == {
        "DONE": 0,
        "UNEXPECTED": 1,
        "BAD_SPEC": 2,
        "REFUSED": 3,
        "DIFFERENT": 4,
        "STEP_FAILED": 5,
        "INTERRUPTED": 130,
    }


def test_the_help_page_lists_every_exit_code_with_its_meaning():
    lines = [line.split(maxsplit=1) for line in cli.help_text().splitlines() if line.strip()]
    for code, meaning in errors.EXIT_MEANINGS.items():
        assert [str(int(code)), meaning] in lines


@pytest.mark.parametrize("kind", [SpecError, StateError, errors.StepError])
def test_the_tree_in_the_docstring_shows_each_error_with_its_code(kind):
    (line,) = [text for text in (errors.__doc__ or "").splitlines() if f" {kind.__name__} " in text]
    assert f" {int(kind.exit_code)} " in line


def test_problems_stand_in_columns_one_a_line():
    error = SpecError(
        [
            Problem("conf/experiment/pets.yaml:7", "training.freez", "unknown key"),
            Problem("command line", "lr", "should be greater than 0, got -1"),
            Problem("conf/x.yaml:1", "", "this is not valid YAML"),
        ]
    )
    assert str(error).splitlines() == [
        "conf/experiment/pets.yaml:7  training.freez  unknown key",
        "command line                 lr              should be greater than 0, got -1",
        "conf/x.yaml:1                                this is not valid YAML",
    ]


def test_a_problem_without_a_message_leaves_no_blanks_behind():
    assert str(SpecError([Problem("here", "key", "")])) == "here  key"


def test_an_error_shows_its_cure_on_a_line_of_its_own():
    assert str(MlopsError("it broke", "mend it")) == "it broke\n  mend it"
    assert str(MlopsError("it broke")) == "it broke"


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("freez", "; did you mean freeze?"),
        ("lrr", "; did you mean lr?"),
        ("zzz", ""),
        ("", ""),
    ],
)
def test_only_a_close_word_is_suggested(word, said):
    assert errors.suggest(word, iter(["lr", "freeze", "epochs"])) == said


@pytest.mark.parametrize("number", DISK, ids=errno.errorcode.get)
def test_a_refusal_of_the_disk_names_the_file_the_cause_and_a_cure(number):
    error = errors.from_os_error(OSError(number, os.strerror(number), "runs/x/spec.json"))
    assert isinstance(error, StateError)
    assert error.exit_code is ExitCode.UNEXPECTED
    assert "runs/x/spec.json" in error.message
    assert os.strerror(number) in error.message
    assert error.cure.endswith("run the same command again")


def test_a_refusal_without_a_file_name_is_still_clear():
    error = errors.from_os_error(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
    assert "None" not in str(error)
    assert "disk is full" in str(error)


@pytest.mark.parametrize(
    "error",
    [
        FileNotFoundError(errno.ENOENT, "no"),
        ConnectionRefusedError(errno.ECONNREFUSED, "no"),
        OSError("?"),
    ],
    ids=["missing file", "refused connection", "no number"],
)
def test_other_errors_of_the_system_are_not_blamed_on_the_disk(error):
    assert errors.from_os_error(error) is None


def raising(error):
    def verb(_options):
        raise error

    return verb


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (OSError(errno.ENOSPC, "No space left", "runs"), 1, "the disk is full: free some space"),
        (StateError("runs is locked", "wait"), 1, "runs is locked\n  wait\n"),
        (errors.StepError("it died", "look"), 5, "it died\n  look\n"),
        (SpecError([Problem("command line", "lr", "bad")]), 2, "command line  lr  bad\n"),
        (KeyboardInterrupt(), 130, "the same command continues"),
    ],
    ids=["full disk", "state", "step", "spec", "interrupt"],
)
def test_each_error_leaves_the_command_line_with_its_code_and_words(
    error, code, said, monkeypatch, capsys
):
    monkeypatch.setitem(cli.VERBS, "plan", raising(error))
    assert cli.main(["plan"]) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert said in err


def test_a_bug_is_not_dressed_up_as_anything_else(monkeypatch):
    for bug in (ValueError("a bug"), FileNotFoundError(errno.ENOENT, "no", "x")):
        monkeypatch.setitem(cli.VERBS, "plan", raising(bug))
        with pytest.raises(type(bug)):
            cli.main(["plan"])
