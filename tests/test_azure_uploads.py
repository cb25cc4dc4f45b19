"""A data set of many files in blob storage: asked little, sent once, gone on with after a kill."""

import json
import subprocess
import sys
from pathlib import Path

import emulation
import pytest
from toyproject import environment

from mlops_spec.azure import client, content, provision, uploads
from mlops_spec.azure.place import Place

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore"),  # of Azure's SDK, about itself
]
NAME = "azureml://datastores/workspaceblobstore/paths"


@pytest.fixture
def place(toys):
    toys.faults()
    return Place(emulation.SUBSCRIPTION, emulation.GROUP, emulation.NAME, str(toys.state))


def many(folder, count):
    return emulation.photos(folder, {f"{i % 7}/{i}.txt": f"photo {i}" for i in range(count)})


def document(folder, version):
    schema = "https://azuremlschemas.azureedge.net/latest/data.schema.json"
    named = {"name": "many", "version": version, "type": "uri_folder", "path": str(folder)}
    return {"$schema": schema, **named}


def ensured(place, path, folder, version):
    """Makes it an asset; what was said, and which requests that took."""
    asked = document(folder, version)
    path.write_text(json.dumps(asked), "utf-8")
    state, lines = Path(place.emulator), []
    with client.opened(place) as ml:
        before = len(emulation.exchanges(state))
        text = provision.ensure(ml, path, asked, lines.append)
        return text, lines, emulation.exchanges(state)[before:]


def blobs(place, address):
    with client.opened(place) as ml:
        container, prefix = content.opened(ml, address)
        with container:
            found = container.list_blobs(prefix)
            return {
                blob.name.removeprefix(prefix): container.download_blob(blob.name).readall()
                for blob in found
            }


def test_a_question_is_asked_for_each_file_once_and_then_for_none(place, tmp_path) -> None:
    others = set()
    for count in (10, 300):
        folder = many(tmp_path / str(count), count)
        made, lines, asked = ensured(place, tmp_path / "d.yml", folder, str(count))
        assert made == f"many:{count} registered"
        assert lines[-1].startswith(f"uploaded {count} of {count} files, ")
        sent = [one for one in asked if one["method"] == "PUT" and ".blob." in one["url"]]
        assert len(sent) == count
        found, lines, again = ensured(place, tmp_path / "d.yml", folder, str(count))
        assert (found, lines) == (f"many:{count} is there", [])
        others.add((len(asked) - count, len(again)))
    ((first, second),) = others  # the same for few and for many
    assert first < 10
    assert second == 1


def test_what_is_there_already_is_not_sent_again_and_nothing_else_stays(place, tmp_path) -> None:
    folder, address = many(tmp_path / "some", 20), f"{NAME}/tried/some/"
    with client.opened(place) as ml:
        uploads.folder(ml, folder, address, print)
        (folder / "0" / "0.txt").write_text("PHOTO 0", "utf-8")  # as long as before
        (folder / "1" / "1.txt").unlink()
        (folder / "new.txt").write_text("new", "utf-8")
        before = len(emulation.exchanges(Path(place.emulator)))
        uploads.folder(ml, folder, address, print)
        asked = emulation.exchanges(Path(place.emulator))[before:]
    sent = sorted(
        one["url"].partition("/some/")[2].partition("?")[0]
        for one in asked
        if one["method"] == "PUT"
    )
    assert sent == ["0/0.txt", "new.txt"]
    wanted = {name: text.encode() for name, text in emulation.contents(folder).items()}
    assert blobs(place, address) == wanted


def test_a_file_that_can_not_be_sent_stops_the_others(toys, place, tmp_path) -> None:
    from mlops_spec.errors import StateError

    folder = many(tmp_path / "stop", 400)
    toys.faults({"kind": "conflict", "on": "PUT *many/stop*/0/0.txt*"})
    with pytest.raises(StateError, match="somebody else changes the same"):
        ensured(place, tmp_path / "d.yml", folder, "stop")
    address = f"{NAME}/mlops_spec/data/many/stop/"
    assert len(blobs(place, address)) < 400
    assert ensured(place, tmp_path / "d.yml", folder, "stop")[0] == "many:stop registered"
    assert len(blobs(place, address)) == 400


PEAK = """
import resource, sys
from mlops_spec.azure import client, uploads
from mlops_spec.azure.place import Place
from pathlib import Path
with client.opened(Place(*sys.argv[1:5])) as ml:
    for folder, address in zip(sys.argv[5::2], sys.argv[6::2]):
        uploads.folder(ml, Path(folder), address, lambda _: None)
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024, flush=True)
"""


def test_memory_does_not_grow_with_what_is_sent(place, tmp_path) -> None:
    few, large = many(tmp_path / "few", 64), tmp_path / "large"
    large.mkdir()
    for number in range(6):
        with (large / f"{number}.bin").open("wb") as file:
            file.truncate(64 * 2**20)
    words = [place.subscription, place.group, place.name, place.emulator]
    words += [str(few), f"{NAME}/peak/few/", str(large), f"{NAME}/peak/large/"]
    answer = subprocess.run(
        [sys.executable, "-c", PEAK, *words],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr
    before, after = map(int, answer.stdout.split())
    assert after - before < 200, (before, after)  # of 384 MB
