"""What a run leaves in its folder of what was said and done."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Self, TextIO

from mlops_spec import files

if TYPE_CHECKING:
    from pathlib import Path

    from mlops_spec.run import Result


@dataclass
class Log:
    """A run's `run.log` for people and `results.jsonl` for machines."""

    lines: TextIO
    results: TextIO

    @classmethod
    def open(cls, run_dir: Path) -> Log:
        """Both files of a run's folder; what is there already stays."""
        lines = (run_dir / "run.log").open("a", encoding="utf-8")
        return cls(lines, (run_dir / "results.jsonl").open("a", encoding="utf-8"))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.lines.close()
        self.results.close()

    def line(self, step_id: str, text: str) -> None:
        """Notes what was said."""
        self.lines.write(f"{datetime.now(UTC):%H:%M:%S} {step_id:<10} {text}\n")
        self.lines.flush()

    def result(self, result: Result) -> None:
        """Notes what became of a step."""
        document = {"schema_version": files.SCHEMA_VERSION, **asdict(result)}
        self.results.write(json.dumps(document, ensure_ascii=False) + "\n")
        self.results.flush()
        numbers = " ".join(f"{k} {v:.4f}" for k, v in result.metrics.items())
        said = (result.status, result.text, numbers, result.error)
        self.line(result.id, " ".join(filter(None, said)))
