"""`check`: is this machine ready for a spec, and what to do about it where it is not."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mlops_spec import conf_files, kinds, requirements, signing, store
from mlops_spec.compose import Composer
from mlops_spec.errors import ExitCode, MlopsError
from mlops_spec.infra_spec import TerraformInfra
from mlops_spec.origins import display
from mlops_spec.spec import leaves
from mlops_spec.validate import parse
from mlops_spec.view import echo
from mlops_spec.where import CloudWorkspace

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mlops_spec.spec import Spec
    from mlops_spec.view import Style

_LEAST_FREE_GB = 2


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at; `cure` is empty when all is well."""

    name: str
    text: str
    cure: str = ""

    @property
    def ok(self) -> bool:
        """Whether nothing needs doing."""
        return not self.cure


def run(overrides: Sequence[str], style: Style) -> ExitCode:
    """Looks at everything and prints it; DIFFERENT when something needs doing."""
    found = [*_machine(), *_configuration(overrides)]
    for finding in found:
        if style.json:
            echo(json.dumps({**asdict(finding), "ok": finding.ok}, ensure_ascii=False))
            continue
        if style.quiet and finding.ok:
            continue
        mark = style.paint("ok  ", "green") if finding.ok else style.paint("fail", "red")
        echo(f"{mark}  {finding.name:<10}  {finding.text}")
        if finding.cure:
            echo(f"{'':<18}{finding.cure}")
    return ExitCode.DONE if all(finding.ok for finding in found) else ExitCode.DIFFERENT


def _machine() -> Iterator[Finding]:
    yield Finding("python", f"{sys.version.split()[0]} at {sys.executable}")
    wanting = list(requirements.wanting())
    if wanting:
        yield Finding("packages", "; ".join(wanting), "python -m pip install --upgrade mlops_spec")
    else:
        yield Finding("packages", "all installed, in versions that go together")
    free = shutil.disk_usage(Path.cwd()).free / 1e9
    cure = "free some space" if free < _LEAST_FREE_GB else ""
    yield Finding("disk", f"{free:.1f} GB free in this folder", cure)
    yield _folder()


def _folder() -> Finding:
    here = Path.cwd()
    if not os.access(here, os.W_OK):
        return Finding("folder", f"{here} is not writable", "work in a folder you can write to")
    try:
        for path in (store.ROOT / "steps").glob("*/result.json"):
            store.finished()[path.parent.name]
    except MlopsError as error:
        return Finding("folder", error.message, error.cure)
    return Finding("folder", f"{here} is writable")


def _configuration(overrides: Sequence[str]) -> Iterator[Finding]:
    try:
        composer = Composer()
        count = sum(len(conf_files.yaml_files(folder)) for folder in conf_files.folders())
        where = ", ".join(display(folder) for folder in conf_files.folders())
        yield Finding("conf", f"{count} files in {where}, all valid YAML")
        if overrides:
            composition = composer.compose(overrides)
            spec = parse(composition.values, composition.origins, composition.problems)
            yield Finding("spec", f"{spec.name} is valid")
            yield from _spec(spec)
    except MlopsError as error:
        text = error.message.replace("\n", "\n" + " " * 18)
        yield Finding("spec", text, error.cure or "mend the lines above")


def _spec(spec: Spec) -> Iterator[Finding]:
    values = spec.model_dump(mode="json")
    names = sorted(
        {n for _, v in leaves(values) for n in re.findall(r"\$\{secret:([\w-]+)\}", str(v))}
    )
    for name in names:
        cure = "" if name in os.environ else f"set the environment variable {name}"
        yield Finding("secret", f"{name} is {'not ' if cure else ''}set", cure)
    if spec.lineage.sign_with or spec.lineage.trusted_key:
        here = signing.is_installed()
        what = f"cryptography, for signatures, is {'' if here else 'not '}installed"
        yield Finding("signing", what, "" if here else signing.INSTALL)
    if spec.compute.kind == "local" and spec.compute.accelerator in ("cuda", "mps"):
        yield _accelerator(spec.compute.accelerator)
    if isinstance(spec.infra, TerraformInfra):
        from mlops_spec.terraform import checks as of_terraform

        for name, text, cure in of_terraform.checks(spec):
            yield Finding(name, text, cure)
    if isinstance(spec.workspace, CloudWorkspace):
        from mlops_spec.azure import checks  # most specs have nothing there

        for name, text, cure in checks.checks(spec):
            yield Finding(name, text, cure)
    for group in kinds.GROUPS:
        module = kinds.load(group, getattr(spec, group).kind)
        for name, text, cure in getattr(module, "checks", lambda _: ())(spec):
            yield Finding(name, text, cure)


def _accelerator(name: str) -> Finding:
    """Whether torch sees an accelerator; asked of a process of its own, torch being heavy."""
    module = "torch.cuda" if name == "cuda" else "torch.backends.mps"
    code = f"import torch; print({module}.is_available())"
    answer = subprocess.run(  # noqa: S603 - our own words
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    if answer.stdout.strip() == "True":
        return Finding("device", f"torch sees {name}")
    return Finding("device", f"torch sees no {name} here", "set compute.accelerator=auto or cpu")
