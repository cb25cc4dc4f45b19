"""What `check` looks at of a spec that asks for Terraform."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mlops_spec import ground
from mlops_spec.errors import StateError
from mlops_spec.infra_spec import TerraformInfra
from mlops_spec.terraform import binary, comparison

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlops_spec.spec import Spec


def checks(spec: Spec) -> Iterator[tuple[str, str, str]]:
    """Name, text and cure of each thing that was looked at; no cure where all is well."""
    if not ground.is_by_terraform(spec):
        return
    assert isinstance(spec.infra, TerraformInfra)
    try:
        yield "terraform", f"{binary.check()}, {binary.LEAST_TEXT} or newer is needed", ""
    except StateError as error:
        yield "terraform", error.message, error.cure
    stale = list(comparison.stale(spec))
    if stale:
        yield "infra", "; ".join(stale), comparison.RENDER
    else:
        yield "infra", "the variables are what the spec says", ""
    try:
        comparison.check_login()
        yield "login", "Terraform finds a login for Azure", ""
    except StateError as error:
        yield "login", error.message, error.cure
    if "devops" in ground.parts(spec):
        for name, file in spec.infra.devops.pipelines.items():
            if not Path(file).is_file():
                text = f"there is no {file}, which infra.devops.pipelines.{name} runs"
                yield "pipeline", text, "write it, or leave this pipeline out"
