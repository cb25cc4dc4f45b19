"""Every service that is emulated: a new one is a module and a line here."""

from __future__ import annotations

from mlops_spec.emulator import operations
from mlops_spec.emulator.services import (
    artifacts,
    assets,
    computes,
    history,
    jobs,
    login,
    metrics,
    mlflow,
    rights,
    schedules,
    sizes,
    workspace,
)

ROUTES = (
    *login.ROUTES,
    *workspace.ROUTES,
    *rights.ROUTES,
    *sizes.ROUTES,
    *assets.ROUTES,
    *computes.ROUTES,
    *schedules.ROUTES,
    *jobs.ROUTES,
    *history.ROUTES,
    *artifacts.ROUTES,
    *metrics.ROUTES,
    *mlflow.ROUTES,
    *operations.ROUTES,
)

make_workspace = workspace.make
