"""A Dockerfile as Docker reads it, as far as ours go."""

import json
import re
from dataclasses import dataclass
from fnmatch import fnmatch

KNOWN = {"ARG", "FROM", "ENV", "WORKDIR", "COPY", "RUN", "USER"}
KNOWN |= {"EXPOSE", "STOPSIGNAL", "HEALTHCHECK", "ENTRYPOINT", "CMD"}


@dataclass(frozen=True)
class Instruction:
    """One of a stage, numbered from 0."""

    stage: int
    name: str
    text: str

    @property
    def words(self):
        """Without its flags."""
        return [word for word in self.text.split() if not word.startswith("--")]

    @property
    def flags(self):
        return dict(x[2:].split("=", 1) for x in self.text.split() if x.startswith("--"))

    def command(self):
        """Of those that are a list of words."""
        return json.loads(self.text[self.text.index("[") :])


def read(path):
    """Its instructions in order; those before the first FROM are of stage -1."""
    text = re.sub(r"^\s*#.*\n", "", path.read_text("utf-8"), flags=re.MULTILINE)
    found, stage = [], -1
    for line in text.replace("\\\n", " ").splitlines():
        if not line.strip():
            continue
        name, _, rest = line.strip().partition(" ")
        assert name in KNOWN, line
        stage += name == "FROM"
        found.append(Instruction(stage, name, rest.strip()))
    return found


def lets_in(ignore, path):
    """Whether a `.dockerignore` lets a path of the context in; the last line that fits decides."""
    found = True
    for line in ignore.read_text("utf-8").splitlines():
        if not line or line.startswith("#"):
            continue
        pattern = line.removeprefix("!").removeprefix("**/")
        parts = path.split("/")
        above = ["/".join(parts[: i + 1]) for i in range(len(parts))]
        names = parts if "**/" in line else above
        if any(fnmatch(name, pattern) and name.count("/") == pattern.count("/") for name in names):
            found = line.startswith("!")
    return found
