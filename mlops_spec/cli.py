"""The command line: one verb, Hydra's override grammar, a few switches."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlops_spec import __version__, first_page
from mlops_spec.errors import (
    ExitCode,
    MlopsError,
    Problem,
    SpecError,
    from_os_error,
    suggest,
)
from mlops_spec.view import Style, echo, plan_lines

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from mlops_spec.compose import Composer, Composition
    from mlops_spec.spec import Spec


@dataclass(frozen=True)
class Options:
    """A parsed command line."""

    verb: str
    words: tuple[str, ...]
    multirun: bool
    check: bool
    style: Style

    @property
    def overrides(self) -> list[str]:
        """The words that change the spec."""
        return [word for word in self.words if _is_override(word)]

    @property
    def arguments(self) -> list[str]:
        """The words that belong to the verb."""
        return [word for word in self.words if not _is_override(word)]


def _is_override(word: str) -> bool:
    return "=" in word or word.startswith(("+", "~"))


def run(options: Options) -> ExitCode:
    """Plans, prints the plan, applies it; with `-m` a whole sweep."""
    from mlops_spec import sweep
    from mlops_spec.plain import choose
    from mlops_spec.run import execute
    from mlops_spec.validate import to_run

    composer = _composer()
    if options.multirun:
        return sweep.execute(composer, options.overrides, options.style)
    composition, spec = _spec(composer, options.overrides)
    return execute(composition, to_run(spec, composition.origins), choose(options.style))


def plan(options: Options) -> ExitCode:
    """Prints what `run` would do and why; changes nothing."""
    from mlops_spec.plan import plan as make
    from mlops_spec.run import read_facts

    for label, composition, spec in _members(options):
        todo = make(spec, read_facts(spec, ask=False, compare=True), composition.origins)
        if options.style.json:
            member = {"member": label} if label else {}
            echo(json.dumps({**member, **todo.document()}, ensure_ascii=False))
            continue
        for line in (*([f"--- member {label}"] if label else []), *plan_lines(todo, options.style)):
            echo(line)
        for planned in todo.steps if options.style.verbose else ():
            echo(json.dumps({planned.step.id: planned.step.payload}, indent=2))
    return ExitCode.DONE


def _members(options: Options) -> Iterator[tuple[str, Composition, Spec]]:
    """What a command line asks for: one spec, or the labelled members of a sweep."""
    from mlops_spec.sweep import validated
    from mlops_spec.validate import to_run

    composer = _composer()
    if not options.multirun:
        composition, spec = _spec(composer, options.overrides)
        yield "", composition, to_run(spec, composition.origins)
        return
    for member in validated(composer, options.overrides, options.style):
        yield member.label, member.composition, member.spec


def show(options: Options) -> ExitCode:
    """Prints the resolved spec, or where one value comes from and what it shadowed."""
    from mlops_spec import show as shows

    composition, spec = _spec(_composer(), options.overrides)
    keys = options.arguments or [""]
    for key in keys:
        shows.show(key, spec, composition, options.style)
    return ExitCode.DONE


def render(options: Options) -> ExitCode:
    """Writes the documents of a cloud run, logged out; `--check` only compares."""
    from mlops_spec import rendering

    _, spec = _spec(_composer(), options.overrides)
    return rendering.write(spec, check=options.check)


def schema(options: Options) -> ExitCode:
    """Writes the JSON Schemas that editors check YAML with; `--check` only compares."""
    from mlops_spec import schema as schemas

    return schemas.write(_composer(), check=options.check)


def check(options: Options) -> ExitCode:
    """Says whether this machine is ready for a spec, with a cure for whatever is not."""
    from mlops_spec import check as checks

    return checks.run(options.overrides, options.style)


def init(options: Options) -> ExitCode:
    """Makes a new project: a conf overlay, an experiment, a test, CI files."""
    from mlops_spec import scaffold

    if len(options.arguments) != 1:
        raise _usage("init takes one folder: python -m mlops_spec init DIR")
    return scaffold.write(options.arguments[0])


def models(options: Options) -> ExitCode:
    """Lists registered models, shows NAME or NAME/1; `compare`, `verify` them; `key` makes one."""
    from mlops_spec import models as registered

    composer = _composer()
    nameless = composer.compose(options.overrides).values.get("name") == "???"
    _, spec = _spec(composer, [*options.overrides, *(["name=any"] if nameless else [])])
    return registered.show(spec, options.arguments, options.style)


def reproduce(options: Options) -> ExitCode:
    """Trains a recorded run again and says within tolerance or not, and why not."""
    from mlops_spec import reproduce as again

    return again.run(options.arguments, options.style)


def services(options: Options) -> ExitCode:
    """Lists what serves on this machine from this folder; `logs` shows, `stop` ends it."""
    from mlops_spec import running

    return running.run(options.arguments, options.style)


def rollback(options: Options) -> ExitCode:
    """Makes the champion before champion again; a target follows with the next `run`."""
    from mlops_spec import models as registered

    _, spec = _spec(_composer(), options.overrides)
    return registered.rollback(spec, options.overrides, options.style)


VERBS: dict[str, Callable[[Options], ExitCode]] = {
    "run": run,
    "plan": plan,
    "show": show,
    "render": render,
    "check": check,
    "schema": schema,
    "init": init,
    "models": models,
    "reproduce": reproduce,
    "rollback": rollback,
    "services": services,
}
_TAKES_ARGUMENTS = {"show", "init", "models", "reproduce", "services"}
_HYDRA_FLAGS = ("-sc", "--shell-completion", "--cfg", "-c", "--info", "-i", "--hydra-help")


def help_text() -> str:
    """The page that `python -m mlops_spec` alone prints."""
    return first_page.text({name: verb.__doc__ or "" for name, verb in VERBS.items()})


def _composer() -> Composer:
    from mlops_spec.compose import Composer as Composing

    return Composing()


def _spec(composer: Composer, overrides: Sequence[str]) -> tuple[Composition, Spec]:
    from mlops_spec.validate import parse

    composition = composer.compose(overrides)
    return composition, parse(composition.values, composition.origins, composition.problems)


def _usage(message: str) -> SpecError:
    return SpecError([Problem("command line", "", message)])


def _parse(argv: Sequence[str]) -> Options:
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    parser.add_argument("-m", "--multirun", action="store_true")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("-q", "--quiet", action="store_true")
    parser.add_argument("-v", "--verbose", action="store_true")
    parser.add_argument("--no-color", action="store_true")
    flags, words = parser.parse_known_args(argv)
    for word in words:
        if word.startswith("-"):
            known = [o for action in parser._actions for o in action.option_strings]  # noqa: SLF001
            switch = word.partition("=")[0]
            raise _usage(f"unknown switch {switch}{suggest(switch, known)}")
    verb = words.pop(0) if words and not _is_override(words[0]) else "run"
    if verb not in VERBS:
        raise _usage(f"unknown verb {verb!r}{_meant(verb)} (known: {', '.join(VERBS)})")
    style = Style(flags.json, flags.quiet, flags.verbose, not flags.no_color)
    options = Options(verb, tuple(words), flags.multirun, flags.check, style)
    _check_fit(options)
    return options


def _check_fit(options: Options) -> None:
    """Refuses words and switches that a verb would silently ignore."""
    verb, words = options.verb, options.arguments
    if words and verb not in _TAKES_ARGUMENTS:
        raise _usage(f"{verb} does not take {words[0]!r}: write KEY=VALUE{_meant(words[0])}")
    if options.overrides and verb in ("init", "schema", "reproduce", "services"):
        raise _usage(f"{verb} takes no KEY=VALUE, got {options.overrides[0]!r}")
    if options.multirun and verb not in ("run", "plan"):
        raise _usage(f"{verb} looks at one spec: leave out -m and the sweep's values")
    if options.check and verb not in ("schema", "render"):
        raise _usage(f"--check belongs to schema and render, not to {verb}")


def _meant(word: str) -> str:
    """What somebody meant by a word that is no verb: an experiment's name, or a similar verb."""
    from mlops_spec.conf_files import groups

    if word in groups().get("experiment", []):
        return f"; did you mean +experiment={word}?"
    return suggest(word, VERBS)


def main(argv: Sequence[str]) -> ExitCode:
    """Runs one command line; every error leaves through here."""
    if not argv or argv[0] == "help" or {"-h", "--help", "--version"} & set(argv):
        echo(__version__ if "--version" in argv else help_text().rstrip())
        return ExitCode.DONE
    if any(flag.split("=")[0] in _HYDRA_FLAGS for flag in argv):
        from mlops_spec import hydra_cli

        return hydra_cli.main(argv, VERBS)
    try:
        options = _parse(argv)
        return VERBS[options.verb](options)
    except (MlopsError, OSError) as error:
        clear = from_os_error(error) if isinstance(error, OSError) else error
        if clear is None:
            raise
        return _fail(clear, as_json="--json" in argv)
    except KeyboardInterrupt as error:  # with what becomes of a job that goes on elsewhere
        echo(
            "\n".join([*map(str, error.args), "interrupted; the same command continues"]),
            sys.stderr,
        )
        return ExitCode.INTERRUPTED


def _fail(error: MlopsError, *, as_json: bool) -> ExitCode:
    from mlops_spec.redaction import redact

    if not as_json:
        echo(redact(str(error)), sys.stderr)
        return error.exit_code
    document: dict[str, Any] = {"event": "error", "message": error.message, "cure": error.cure}
    if isinstance(error, SpecError):
        document["problems"] = [vars(problem) for problem in error.problems]
    echo(redact(json.dumps({**document, "exit_code": int(error.exit_code)}, ensure_ascii=False)))
    return error.exit_code
