"""The run history of a workspace: how jobs are, and files for people that are kept with them."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Self

from mlops_spec.azure import client
from mlops_spec.errors import StateError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from mlops_spec.azure.place import Place

ANSWER_SECONDS = 60.0
_RETRIES, _RETRIES_HERE = 8, 3  # two minutes; what is on this machine answers or is gone


@dataclass(frozen=True)
class History:
    """The run history, as it is asked about one job.

    Attributes:
        session: Of `requests`, which asks again where an answer is late.
        place: The workspace.
        job: What messages are about.
        base: Where the history of the workspace is.
    """

    session: Any
    place: Place
    job: str
    base: str = ""

    @classmethod
    def of(cls, ml: Any, place: Place, job: str) -> Self:
        """The history that a workspace names.

        Raises:
            StateError: It does not answer.
            HttpResponseError: This login may not ask.
        """
        found = cls(_session(place), place, job)
        service = found._answer("GET", str(ml.workspaces.get(place.name).discovery_url))["history"]
        return cls(found.session, place, job, f"{service}/history/v1.0{place.path}")

    def ask(self, path: str) -> dict[str, Any]:
        """A document of the history.

        Raises:
            StateError: It does not answer, or with an error.
            HttpResponseError: This login may not ask.
        """
        return self._answer("GET", f"{self.base}/{path}")

    def keep(self, experiment: str, files: Sequence[Path]) -> None:
        """Puts files beside a job's logs, where the workspace's pages and MLflow show them.

        Raises:
            StateError: It does not answer, or does not take them.
            HttpResponseError: This login may not ask.
        """
        where = f"{self.base}/experiments/{experiment}/runs/{self.job}/artifacts/batch/metadata"
        asked = {"paths": [{"path": file.name} for file in files]}
        places = self._answer("POST", where, json=asked)["artifactContentInformation"]
        for file in files:
            address, kind = places[file.name]["contentUri"], {"x-ms-blob-type": "BlockBlob"}
            content = file.read_bytes()
            taken = self.session.put(address, content, headers=kind, timeout=ANSWER_SECONDS)
            if taken.status_code != HTTPStatus.CREATED:
                message = f"{file.name} is not kept with job {self.job}: {taken.status_code}"
                raise StateError(message, "run the same command again")

    def _answer(self, method: str, url: str, **more: Any) -> dict[str, Any]:
        import requests

        headers = {"Authorization": f"Bearer {client.token()}"}
        asked = {"headers": headers, "timeout": ANSWER_SECONDS, **more}
        try:
            answer = self.session.request(method, url, **asked)
        except requests.RequestException as error:
            message = f"Azure does not answer any more: {type(error).__name__}"
            cure = f"job {self.job} goes on meanwhile; the same command finds it again"
            if self.place.emulator:
                message = f"the emulator has ended, and job {self.job} with it"
                cure = "the same command starts both again"
            raise StateError(message, cure) from error
        if answer.status_code in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
            raise _denied(answer)
        if answer.status_code != HTTPStatus.OK:
            message = f"Azure does not tell of job {self.job}: {answer.status_code}"
            raise StateError(message, "run the same command again")
        document: dict[str, Any] = answer.json()
        return document


def _denied(answer: Any) -> Any:
    """An answer to who may not ask as an error of Azure's SDK, whose cure is known."""
    from azure.core.exceptions import HttpResponseError

    try:
        said = str(answer.json()["error"]["message"])
    except (ValueError, KeyError, TypeError):
        said = answer.text
    error = HttpResponseError(message=said)
    error.status_code = answer.status_code
    return error


def _session(place: Place) -> Any:
    import requests
    from requests.adapters import HTTPAdapter
    from urllib3.util import Retry

    session = requests.Session()
    retries = _RETRIES_HERE if place.emulator else _RETRIES
    patience = Retry(retries, backoff_factor=0.5, status_forcelist=(429, 500, 502, 503, 504))
    session.mount("https://", HTTPAdapter(max_retries=patience))
    return session
