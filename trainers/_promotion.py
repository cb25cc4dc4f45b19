"""Judging and registering in one, by a job that knows the champion only when it runs.

A pipeline that is started again, by a trigger or a clock, meets another champion each time: who it
is, is asked in the workspace, and its bundle judged on the same test split. Whatever comes of it is
a result: `promotion.json` says it, and no run fails because a model was not better.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops_spec import bundle, files, registries, registry
from mlops_spec.step_spec import NOBODY
from trainers import _verbs
from trainers._verbs import Summary

if TYPE_CHECKING:
    from mlops_spec.registry import Version
    from mlops_spec.step_spec import StepSpec


def promote(spec: StepSpec, args: argparse.Namespace) -> Summary:
    """Judges a model against the champion of now, and makes it champion if it is better."""
    place = registries.at(args.registry, args.database, args.models)
    versions = registry.of_ours(place.look(args.model), args.model)
    train = bundle.digest(args.bundle) if args.train == NOBODY else args.train
    rival, kept = registry.rival(versions, train), registry.kept(versions, train)
    told = _told(args, train=train, gate=args.out / "gate", report=args.out / "report")
    if rival:
        place.fetch(args.model, rival)
        told.champion = args.out / "champion"
        _perform("evaluate", spec, _told(told, bundle=Path(rival.path), out=told.champion))
    judged = _perform("gate", spec, _told(told, out=told.gate))
    _perform("report", spec, _told(told, out=told.report))
    document = {**files.read_json(told.gate / "verdict.json"), "model": args.model}
    if not judged.refused:
        told.baseline, told.keep = rival.version if rival else 0, kept.version if kept else 0
        registered = _perform("register", _with_parent(spec, rival), told)
        document |= files.read_json(args.out / "version.json")
        judged = Summary(f"{judged.text}; {registered.text}")
    metrics = files.read_json(args.evaluation / "metrics.json")["metrics"]
    builds = {"build": args.build, "build_address": args.build_address}
    files.write_json(args.out / "promotion.json", {**document, **builds})
    return replace(judged, metrics=metrics)


def _told(args: argparse.Namespace, **changes: Any) -> argparse.Namespace:
    return argparse.Namespace(**{**vars(args), **changes})


def _perform(verb: str, spec: StepSpec, args: argparse.Namespace) -> Summary:
    args.out.mkdir(parents=True, exist_ok=True)
    return _verbs.VERBS[verb](spec, args)


def _with_parent(spec: StepSpec, rival: Version | None) -> StepSpec:
    """The origin of the model with the champion that it was measured against."""
    assert spec.lineage is not None
    champion = {"version": rival.version, "digest": rival.digest} if rival else None
    parents = {**spec.lineage["parents"], "champion": champion}
    return spec.model_copy(update={"lineage": {**spec.lineage, "parents": parents}})
