"""The page that a command line without words prints: verbs, switches, exit codes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlops_spec import __version__
from mlops_spec.errors import EXIT_MEANINGS

if TYPE_CHECKING:
    from collections.abc import Mapping

_INTRODUCTION = """\
mlops_spec {version}: from a folder of images to a registered model, declared in YAML.

  python -m mlops_spec +experiment=quickstart                     run what an experiment declares
  python -m mlops_spec plan +experiment=quickstart                what would run, and why
  python -m mlops_spec show training.lr +experiment=quickstart    where a value comes from
  python -m mlops_spec -m +experiment=quickstart training.lr=0.003,0.01    a sweep

verbs
{verbs}

switches
  -m, --multirun   every combination of comma-separated values
  --json           for machines, one document a line
  -q, -v           quiet, verbose
  --no-color       plain text (NO_COLOR works too)
  --check          with schema and render: only say whether files are stale

exit codes
{codes}
"""


def text(verbs: Mapping[str, str]) -> str:
    """The page.

    Args:
        verbs: Name -> what it does, of which the first line is shown.
    """
    width = max(map(len, verbs))
    lines = [f"  {name:<{width}} {said.splitlines()[0]}" for name, said in verbs.items()]
    codes = [f"  {int(code):<3} {meaning}" for code, meaning in EXIT_MEANINGS.items()]
    shown = {"verbs": "\n".join(lines), "codes": "\n".join(codes)}
    return _INTRODUCTION.format(version=__version__, **shown)
