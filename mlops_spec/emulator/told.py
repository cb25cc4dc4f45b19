"""What tells a job where it is tracked: MLflow's own variables, so that it needs no plugin.

Azure ML gives an address of the scheme azureml, which its plugin turns into this one: the same API
over https, with a token. It leads to the emulator itself, past the proxy: a job may use the network
for other things.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlops_spec.emulator import tracking
from mlops_spec.emulator.routing import HERE

if TYPE_CHECKING:
    from mlops_spec.emulator.identity import Identity
    from mlops_spec.emulator.jobs import Job

_PAST_THE_PROXY = ("NO_PROXY", "no_proxy")


@dataclass(frozen=True)
class Address:
    """Where jobs track.

    Attributes:
        port: Of the TLS server.
        certificate: The file of the authority that it is to be trusted by.
        identity: Whose tokens it takes.
    """

    port: int
    certificate: str
    identity: Identity

    def variables(self, job: Job) -> dict[str, str]:
        """For the process of a job."""
        info = tracking.Tracked(job.store, job.workspace, job.name).info
        known = {name: os.environ.get(name, "") for name in _PAST_THE_PROXY}
        past = {name: ",".join(filter(None, [value, HERE])) for name, value in known.items()}
        return {
            **past,
            "MLFLOW_TRACKING_URI": f"https://{HERE}:{self.port}/mlflow/v2.0{job.workspace.id}",
            "MLFLOW_TRACKING_TOKEN": self.identity.token("https://ml.azure.com"),
            "MLFLOW_TRACKING_SERVER_CERT_PATH": self.certificate,
            "MLFLOW_EXPERIMENT_ID": info["experiment_id"],
            "MLFLOW_EXPERIMENT_NAME": tracking.experiment_of(job),
            "MLFLOW_RUN_ID": job.name,
        }
