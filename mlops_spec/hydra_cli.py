"""Hydra's own commands (shell completion, --cfg, --info) on our configuration."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import hydra

from mlops_spec.compose import register_overlay
from mlops_spec.conf_files import installed
from mlops_spec.errors import ExitCode

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from omegaconf import DictConfig


def main(argv: Sequence[str], verbs: Collection[str]) -> ExitCode:
    """Hands a command line to Hydra, without the verb in front, which Hydra does not know."""
    words = [word for i, word in enumerate(argv) if i or word not in verbs]
    sys.argv = [sys.argv[0], *(_bare_experiment(word) for word in words)]
    _drop_verb_from_completion(verbs)
    register_overlay()
    _application(_nothing)()
    return ExitCode.DONE


def _bare_experiment(word: str) -> str:
    return f"+{word}" if word.startswith("experiment=") else word


def _drop_verb_from_completion(verbs: Collection[str]) -> None:
    """Removes the verb from the line that the shell asks Hydra to complete."""
    line = os.environ.get("COMP_LINE", "").split(" ")
    if len(line) > 2 and line[1] in verbs:  # noqa: PLR2004 - program, verb and a word to complete
        dropped = line.pop(1)
        os.environ["COMP_LINE"] = " ".join(line)
        point = int(os.environ.get("COMP_POINT", "0")) - len(dropped) - 1
        os.environ["COMP_POINT"] = str(max(0, point))


def _nothing(_config: DictConfig) -> None:
    """What Hydra would run; its own commands print and leave before."""


_application = hydra.main(version_base="1.3", config_path=str(installed()), config_name="config")
