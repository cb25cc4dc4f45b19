"""What Azure's SDK draws on a terminal becomes lines of the step that it works for."""

import itertools
import sys
from types import SimpleNamespace

from mlops_spec.actions import azureml


def test_the_bars_of_the_sdk_become_lines_now_and_then(capsys, monkeypatch) -> None:
    seconds = itertools.count(0, 3)
    monkeypatch.setattr(azureml.time, "monotonic", lambda: next(seconds))
    with azureml._progress(SimpleNamespace(emit=print)):
        sys.stdout.write("a note of the SDK\n")
        for done in range(0, 101, 10):
            sys.stderr.write(f"\r\x1b[32mUploading code (1 MBs): {done:3}%|###  | 3/5 [00:01]")
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert lines[0] == "Uploading code: 10 %"
    assert 1 < len(lines) < 8
    assert err == ""
