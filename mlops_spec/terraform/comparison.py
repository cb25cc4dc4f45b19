"""What the infrastructure lacks: `infra/*.tf` with the variables of a spec against what is there.

The differences are a file that Terraform keeps, so that nothing but what was shown is applied.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from mlops_spec import files
from mlops_spec.errors import StateError
from mlops_spec.facts import Infra
from mlops_spec.origins import display
from mlops_spec.render import terraform as documents
from mlops_spec.spec import leaves
from mlops_spec.terraform import binary

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlops_spec.spec import Spec

RENDER = "python -m mlops_spec render OVERRIDES, the same ones"
PATIENCE = "10s"  # for somebody else to finish
_WANTED = {"create": "+", "update": "~", "delete": "-", "replace": "±"}


def look(spec: Spec, *, must: bool) -> Infra:
    """What Terraform would change for a spec.

    Args:
        spec: What is wanted; it asks for Terraform.
        must: Whether not to know is an error; otherwise it is an answer.

    Raises:
        StateError: What is there can not be compared.
    """
    try:
        return _compared(spec)
    except StateError as error:
        if must:
            raise
        told = "; ".join(filter(None, (error.message, error.cure)))
        return Infra(code=digest(), unknown=" ".join(told.split()))


def digest() -> str:
    """What `infra/*.tf` is."""
    whole = hashlib.sha256()
    for path in sorted(documents.INFRA.glob("*.tf")):
        whole.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return whole.hexdigest()


def stale(spec: Spec) -> Iterator[str]:
    """What the rendered files have that the spec does not say, each with what is different."""
    for path, text in documents.documents(spec).items():
        if not path.exists():
            yield f"there is no {display(path)}"
            continue
        found = path.read_text("utf-8")
        if found != text:
            yield f"{display(path)} is not what the spec says: {_difference(found, text)}"


def _difference(found: str, wanted: str) -> str:
    """The first keys of two JSON texts that differ."""
    try:
        before, after = (dict(leaves(json.loads(text))) for text in (found, wanted))
    except ValueError:
        return "it is no JSON"
    keys = [key for key in sorted({*before, *after}) if before.get(key) != after.get(key)]
    told = [
        f"{key} is {before.get(key, 'absent')!s}, should be {after.get(key, 'absent')!s}"
        for key in keys[:3]
    ]
    return "; ".join(told) or "another layout"


def _compared(spec: Spec) -> Infra:
    binary.check()
    if not any(documents.INFRA.glob("*.tf")):
        raise StateError("there is no Terraform code in infra/", RENDER)
    wrong = list(stale(spec))
    if wrong:
        cure = f"{RENDER}; who wants another value changes the spec, not this file"
        raise StateError(wrong[0], cure)
    check_login()
    sys.stderr.write("comparing the infrastructure with infra/*.tf...\n")
    folder = binary.folder(spec.name)
    folder.mkdir(parents=True, exist_ok=True)
    saved = folder / "plan"
    config = f"-backend-config={spec.name}.backend.json"
    binary.run(spec.name, ["init", "-input=false", "-reconfigure", config], _nobody)
    words = ["plan", "-input=false", f"-out={saved}", f"-var-file={spec.name}.tfvars.json"]
    binary.run(spec.name, [*words, f"-lock-timeout={PATIENCE}"], _nobody)
    saved.chmod(0o600)  # it holds what the state holds
    found = binary.document(spec.name, "show", str(saved))
    return Infra(
        code=digest(),
        changes=tuple(_changes(found)),
        saved=str(saved),
        digest=files.sha256_file(saved),
        outputs=_outputs(found),
    )


def _changes(plan: dict[str, Any]) -> Iterator[str]:
    """What would be done, resource by resource; what is only read is left out."""
    for change in plan.get("resource_changes", ()):
        actions = change["change"]["actions"]
        kind = "replace" if len(actions) > 1 else actions[0]
        if kind in _WANTED:
            yield f"{_WANTED[kind]} {change['address']}"


def _outputs(plan: dict[str, Any]) -> dict[str, Any]:
    """What the state tells of itself; nothing before the first apply."""
    state = plan.get("prior_state", {}).get("values", {}).get("outputs", {})
    return {name: one["value"] for name, one in state.items() if not one.get("sensitive")}


def _nobody(_: str) -> None:
    """Comparing makes nothing that would be told."""


def check_login() -> None:
    """Says at once what Terraform finds out late, and in many words.

    Raises:
        StateError: Nobody is logged in.
    """
    named = {"ARM_CLIENT_ID", "ARM_USE_OIDC", "ARM_USE_MSI", "ARM_USE_AKS_WORKLOAD_IDENTITY"}
    if named & os.environ.keys():
        return
    what = "nobody is logged in to Azure: neither `az login` nor the variables ARM_*"
    cure = "az login; in a pipeline ARM_CLIENT_ID, ARM_TENANT_ID and ARM_USE_OIDC=true"
    az = shutil.which("az")
    if az is None:
        raise StateError(what, cure)
    asked = [az, "account", "show", "--output", "none"]
    answer = subprocess.run(asked, capture_output=True, check=False)  # noqa: S603 - our own words
    if answer.returncode:
        raise StateError(what, cure)
