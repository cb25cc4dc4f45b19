"""What every part of a spec is made of: frozen sections, strict numbers, and who read what."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field
from pydantic_core import core_schema

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler


class Section(BaseModel):
    """A part of a spec: frozen, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    def __getattribute__(self, name: str) -> Any:
        if _reads is not None:
            _reads.add((_copied.get(id(self), id(self)), name))
        return super().__getattribute__(name)

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """A copy with some values changed; reading it counts as reading what it is made from."""
        made = super().model_copy(update=update, deep=deep)
        _copied[id(made)] = _copied.get(id(self), id(self))
        return made

    def __iter__(self) -> Iterator[tuple[str, Any]]:  # type: ignore[override]
        if _reads is not None:  # dict(section)
            _reads.update((id(self), name) for name in type(self).model_fields)
        return super().__iter__()


# (section, attribute) asked for since `note_reads`; None while nobody wants to know
_reads: set[tuple[int, str]] | None = None


_copied: dict[int, int] = {}  # section -> the one that it is a copy of


def note_reads() -> None:
    """From here on it is noted which values of a spec anybody asks for."""
    global _reads  # noqa: PLW0603 - one process performs one step
    _reads = set()


class OpenSection(Section):
    """A section whose `kind` names the module that understands it, by its own `Spec`."""

    kind: str


# Strict: `yes`, which YAML reads as true, is not 1
Int = Annotated[int, Field(strict=True)]
Float = Annotated[float, Field(strict=True)]
Fraction = Annotated[Float, Field(ge=0, lt=1)]
Share = Annotated[Float, Field(ge=0, le=1)]
NotNegative = Annotated[Float, Field(ge=0)]


@dataclass(frozen=True)
class Shape:
    """What a text must be, whole, as a pattern and in words: an error says the words.

    Schemas have the pattern, which is therefore anchored.
    """

    pattern: str
    words: str

    def __get_pydantic_core_schema__(
        self, source: type, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        return core_schema.no_info_after_validator_function(self._judged, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return handler(schema) | {"pattern": self.pattern}

    def _judged(self, text: str) -> str:
        if not re.fullmatch(self.pattern, text):
            raise ValueError(f"should be {self.words}")
        return text


def unread(whole: Section, prefix: str = "") -> Iterator[str]:
    """Dotted keys below a section that nobody asked for since `note_reads`.

    Dumping one section reads all of it, whichever way; dumping the whole is how it is recorded.
    `kind` is read to find who reads the rest.
    """
    seen = _reads or set()
    for name in type(whole).model_fields:
        value = whole.__dict__[name]
        if isinstance(value, Section):
            if not seen & {(id(value), dump) for dump in ("model_dump", "model_dump_json")}:
                yield from unread(value, f"{prefix}{name}.")
        elif value is not None and name != "kind" and (id(whole), name) not in seen:
            yield f"{prefix}{name}"


def leaves(values: object, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every dotted key of a nested mapping that holds no mapping itself, with its value."""
    if isinstance(values, dict) and values:
        for key, value in values.items():
            yield from leaves(value, f"{prefix}.{key}" if prefix else str(key))
    elif prefix:
        yield prefix, values
