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
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops_spec import files
from mlops_spec.errors import StateError
from mlops_spec.facts import Infra
from mlops_spec.infra_spec import TerraformInfra
from mlops_spec.origins import display
from mlops_spec.render import terraform as documents
from mlops_spec.spec import leaves
from mlops_spec.terraform import binary

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from mlops_spec.spec import Spec

RENDER = "python -m mlops_spec render OVERRIDES, the same ones"
_SAVED = "plan-"
PATIENCE = "10s"  # for somebody else to finish
_WANTED = {"create": "+", "update": "~", "delete": "-", "replace": "±"}


def look(spec: Spec, *, must: bool) -> Infra:
    """What Terraform would change for a spec.

    Args:
        spec: What is wanted; it asks for Terraform.
        must: Whether it is to be applied: the differences are kept, others wait meanwhile, and not
            to know is an error. Otherwise it is an answer.

    Raises:
        StateError: What is there can not be compared.
    """
    try:
        return _compared(spec, keep=must)
    except StateError as error:
        if must:
            raise
        told = "; ".join(filter(None, (error.message, error.cure)))
        return Infra(code=digest(), unknown=" ".join(told.split()))


def digest() -> str:
    """What the Terraform code in `infra/` is."""
    whole = hashlib.sha256()
    for path in sorted((*documents.INFRA.glob("*.tf"), *documents.INFRA.glob("*.tf.json"))):
        if path != documents.OVERRIDE:  # where the state is, is no part of what is made
            whole.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return whole.hexdigest()


def stale(spec: Spec) -> Iterator[str]:
    """What the rendered files have that the spec does not say, each with what is different."""
    for path, text in documents.documents(spec).items():
        if not path.exists():
            yield f"there is no {display(path)}"
            continue
        found = path.read_text("utf-8", "replace")
        if found != text:
            yield f"{display(path)} is not what the spec says: {_difference(found, text)}"
    for path in documents.unwanted(spec):
        yield f"{display(path)} keeps states on this machine, and this spec wants its elsewhere"


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


def _compared(spec: Spec, *, keep: bool) -> Infra:
    binary.check()
    if not any(documents.INFRA.glob("*.tf")):
        raise StateError("there is no Terraform code in infra/", RENDER)
    wrong = list(stale(spec))
    if wrong:
        cure = f"{RENDER}; who wants another value changes the spec, not this file"
        raise StateError(wrong[0], cure)
    _check_moved(spec)
    check_login()
    sys.stderr.write("comparing the infrastructure with infra/*.tf...\n")
    config = f"-backend-config={spec.name}.backend.json"
    binary.run(spec.name, ["init", "-input=false", "-reconfigure", config], _nobody)
    folder = binary.folder(spec.name)
    if keep:
        for old in folder.glob(f"{_SAVED}*"):  # of whoever compared and did not apply
            old.unlink()
    with tempfile.NamedTemporaryFile(
        dir=folder, prefix=_SAVED if keep else "shown-", delete=False
    ) as file:
        saved = Path(file.name)
    kept = False
    try:
        found = _planned(spec, saved, keep=keep)
        _check_code(spec, found)
        changes = tuple(_changes(found))
        kept = keep and bool(changes)
        return Infra(
            code=digest(),
            changes=changes,
            saved=str(saved) if kept else "",
            digest=files.sha256_file(saved) if kept else "",
            outputs=_outputs(found),
        )
    finally:
        if not kept:  # it holds what the state holds
            saved.unlink()


def _planned(spec: Spec, saved: Path, *, keep: bool) -> dict[str, Any]:
    """What Terraform would do, in its own words; who only looks keeps nobody waiting."""
    lock = f"-lock-timeout={PATIENCE}" if keep else "-lock=false"
    words = ["plan", "-input=false", lock, f"-out={saved}", f"-var-file={spec.name}.tfvars.json"]
    binary.run(spec.name, words, _nobody)
    return binary.document(spec.name, "show", str(saved))


def _check_moved(spec: Spec) -> None:
    """Refuses to begin anew where a state is known to be elsewhere.

    Raises:
        StateError: The spec keeps its state in Azure now, and it is still on this machine.
    """
    here = documents.INFRA / f"{spec.name}.tfstate"
    assert isinstance(spec.infra, TerraformInfra)
    if not spec.infra.remote_state or not here.exists():
        return
    words = ["init", "-migrate-state", f"-backend-config={spec.name}.backend.json"]
    cure = f"move it: {binary.by_hand(spec.name, *words)}; then delete the file"
    raise StateError(f"the state is on this machine still: {display(here)}", cure)


def _check_code(spec: Spec, plan: dict[str, Any]) -> None:
    """Refuses code that is not about this spec, before anything of it is made.

    Raises:
        StateError: It does not read all variables, or names things otherwise.
    """
    module = plan.get("configuration", {}).get("root_module", {})
    unread = documents.variables(spec).keys() - module.get("variables", {}).keys()
    if unread or "names" not in module.get("outputs", {}):
        what = f"variables {', '.join(sorted(unread))}" if unread else "output names"
        message = f"infra/*.tf is older than this program, or not its code: it has no {what}"
        raise StateError(message, f"move it away and lay down the code of now: {RENDER}")
    wanted = documents.variables(spec)["names"]
    made = plan.get("planned_values", {}).get("outputs", {}).get("names", {}).get("value") or {}
    wrong = otherwise(wanted, made)
    if wrong:
        message = f"infra/*.tf does not keep to the names of the spec: {'; '.join(wrong[:3])}"
        raise StateError(message, "choose your own names by workspace.names, not in infra/*.tf")


def otherwise(wanted: Mapping[str, str], made: Mapping[str, Any]) -> list[str]:
    """Names that are not what was wanted; of what is not there nothing is said."""
    return [
        f"{name} is {made[name]}, should be {value}"
        for name, value in wanted.items()
        if made.get(name) not in (None, value)
    ]


def _changes(plan: dict[str, Any]) -> Iterator[str]:
    """What would be done, one by one; what is only read is left out."""
    for change in plan.get("resource_changes", ()):
        actions = change["change"]["actions"]
        kind = "replace" if len(actions) > 1 else actions[0]
        if kind in _WANTED:
            yield f"{_WANTED[kind]} {change['address']}"
    for name, output in plan.get("output_changes", {}).items():
        if output["actions"][0] in _WANTED:
            yield f"{_WANTED[output['actions'][0]]} output.{name}"


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
    ways = ("ARM_USE_OIDC", "ARM_USE_MSI", "ARM_USE_AKS_WORKLOAD_IDENTITY")
    chosen = any(os.environ.get(name, "").lower() in ("true", "1") for name in ways)
    if chosen or os.environ.get("ARM_CLIENT_ID"):
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
