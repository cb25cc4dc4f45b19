"""Small JSON files with one pydantic model each, read back in whole or not at all."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from pydantic import BaseModel, ValidationError

from mlops_spec import files
from mlops_spec.errors import StateError

if TYPE_CHECKING:
    from pathlib import Path

M = TypeVar("M", bound=BaseModel)


def write(path: Path, record: BaseModel) -> None:
    """Replaces what a file says."""
    files.write_json(path, record.model_dump(mode="json"))


def read(path: Path, model: type[M], cure: str) -> M:
    """What a file says.

    Args:
        path: The file.
        model: What is in it.
        cure: What to do about a damaged one.

    Raises:
        FileNotFoundError: There is none.
        StateError: It is damaged, or a newer version of this program wrote it.
    """
    document = files.read_json(path)
    document.pop("schema_version")
    try:
        return model.model_validate(document)
    except ValidationError as error:
        first = error.errors()[0]
        message = f"{path} is damaged ({'.'.join(map(str, first['loc']))}: {first['msg']})"
        raise StateError(message, cure) from error
