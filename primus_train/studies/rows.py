"""The table of a study: a row for each method, panel, share, number of shots and split."""

from collections.abc import Mapping
from typing import Any, Final

import pyarrow as pa

from primus_train.studies.plan import Line, Plan, ProbeTask
from primus_train.studies.schedule import Outcome

__all__ = ["STUDY_SCHEMA", "make_rows"]

_EACH: Final = pa.list_(pa.float64())
STUDY_SCHEMA: Final = pa.schema(
    [
        pa.field("study", pa.string(), nullable=False),
        pa.field("panel", pa.int32(), nullable=False),
        pa.field("panel_name", pa.string(), nullable=False),
        pa.field("dataset", pa.string(), nullable=False),
        pa.field("store", pa.string(), nullable=False),  # tested on; URI without credentials
        pa.field("version", pa.string(), nullable=False),  # of that store
        pa.field("method", pa.string(), nullable=False),
        pa.field("title", pa.string(), nullable=False),
        pa.field("share", pa.float64()),  # of train segments that show video and text
        pa.field("split", pa.string(), nullable=False),
        pa.field("shots", pa.int32(), nullable=False),  # per class
        pa.field("trials", pa.int32(), nullable=False),
        pa.field("n", pa.int64()),  # windows evaluated
        pa.field("classes", pa.list_(pa.string())),
        pa.field("accuracy", pa.float64()),  # mean over trials; null = n/a
        pa.field("accuracy_se", pa.float64()),  # null with one trial
        pa.field("balanced_accuracy", pa.float64()),
        pa.field("balanced_accuracy_se", pa.float64()),
        pa.field("macro_f1", pa.float64()),
        pa.field("macro_f1_se", pa.float64()),
        pa.field("accuracies", _EACH, nullable=False),  # one a trial
        pa.field("balanced_accuracies", _EACH, nullable=False),
        pa.field("macro_f1s", _EACH, nullable=False),
        pa.field("chance", pa.float64()),
        pa.field("majority", pa.float64()),  # share of the largest class
        pa.field("near_chance", pa.bool_()),
        # A pretrained encoder that stays near chance at the most shots it has.
        pa.field("collapsed", pa.bool_(), nullable=False),
        pa.field("reason", pa.string()),  # why the point is n/a
        pa.field("failed", pa.bool_(), nullable=False),  # n/a by a fault, not by too few windows
        pa.field("protocol", pa.string(), nullable=False),
        pa.field("shots_by", pa.string(), nullable=False),
        pa.field("encoder", pa.string(), nullable=False),  # pretrained | untrained
        pa.field("representation", pa.string()),
        pa.field("head", pa.string()),
        pa.field("probe_seed", pa.int64(), nullable=False),
        pa.field("probe", pa.string(), nullable=False),  # key; its folder has the first 16 digits
        # The run whose encoder it is.
        pa.field("run", pa.string(), nullable=False),  # key
        pa.field("run_folder", pa.string(), nullable=False),
        pa.field("checkpoint_sha256", pa.string()),
        pa.field("objective", pa.string(), nullable=False),
        pa.field("transforms", pa.list_(pa.string()), nullable=False),  # of its view, in order
        pa.field("trained_on", pa.string(), nullable=False),  # version
        pa.field("mask", pa.string()),
        pa.field("mask_sha256", pa.string()),
        pa.field("seed", pa.int64(), nullable=False),
        pa.field("steps", pa.int64()),
        pa.field("train_rows", pa.int64()),
        pa.field("commit", pa.string()),  # of the code that trained it, where it can be told
        pa.field("dirty", pa.bool_()),  # whether that code differed from the commit
        pa.field("probe_commit", pa.string()),  # of the code that probed it
    ]
)

_FROM_PROBE: Final = (
    "trials",
    "n",
    "accuracy",
    "accuracy_se",
    "balanced_accuracy",
    "balanced_accuracy_se",
    "macro_f1",
    "macro_f1_se",
    "accuracies",
    "balanced_accuracies",
    "macro_f1s",
    "chance",
    "majority",
    "near_chance",
    "reason",
)


def make_rows(plan: Plan, outcomes: Mapping[str, Outcome]) -> list[dict[str, Any]]:
    """Return the rows of `STUDY_SCHEMA`, line by line.

    Args:
        plan: of the study.
        outcomes: of all its pieces of work by key.
    """
    rows: list[dict[str, Any]] = []
    for line in plan.lines:
        mine = [
            row
            for key in line.probes
            for row in _rows_of(plan, line, plan.probes[key], outcomes=outcomes)
        ]
        for split in plan.settings.probe.eval_splits:
            _flag_collapse([row for row in mine if row["split"] == split])
        rows += mine
    return rows


def _flag_collapse(rows: list[dict[str, Any]]) -> None:
    known = [row for row in rows if row["near_chance"] is not None]
    last = max(known, key=lambda row: int(row["shots"]), default=None)
    collapsed = last is not None and last["near_chance"] and last["encoder"] == "pretrained"
    for row in rows:
        row["collapsed"] = bool(collapsed)


def _rows_of(
    plan: Plan, line: Line, probe: ProbeTask, *, outcomes: Mapping[str, Outcome]
) -> list[dict[str, Any]]:
    fit, outcome = plan.fits[line.fit], outcomes[probe.key]
    run, report = outcomes[line.fit].result or {}, outcome.result or {}
    found = {(row["split"], row["shots"]): row for row in report.get("rows", ())}
    code = run.get("code") or {}
    same = {
        "study": plan.settings.study,
        "panel": line.panel.number,
        "panel_name": line.panel.name,
        "dataset": line.panel.dataset,
        "store": line.panel.store.public_uri,
        "version": line.panel.store.version,
        "method": line.method.name,
        "title": line.method.title,
        "share": line.share,
        "classes": report.get("classes"),
        "failed": outcome.result is None,
        "protocol": probe.config.protocol,
        "shots_by": probe.config.shots_by,
        "encoder": "untrained" if probe.untrained else "pretrained",
        "representation": report.get("representation"),
        "head": report.get("head"),
        "probe_seed": probe.config.seed,
        "probe": probe.key,
        "run": fit.key,
        "run_folder": str(fit.folder),
        "checkpoint_sha256": report.get("checkpoint_sha256"),
        "objective": fit.config.objective.name,
        "transforms": list(fit.config.view.transforms),
        "trained_on": plan.panels[0].store.version,
        "mask": fit.mask,
        "mask_sha256": None if line.mask is None else line.mask.sha256,
        "seed": fit.config.seed,
        "steps": run.get("steps"),
        "train_rows": run.get("train_rows"),
        "commit": code.get("commit"),
        "dirty": code.get("dirty"),
        "probe_commit": (report.get("code") or {}).get("commit"),
    }
    nothing: dict[str, Any] = {
        **dict.fromkeys(_FROM_PROBE),
        "trials": 0,
        "accuracies": [],
        "balanced_accuracies": [],
        "macro_f1s": [],
        "reason": outcome.reason,
    }
    return [
        {
            **same,
            "split": split,
            "shots": shots,
            **{name: found.get((split, shots), nothing)[name] for name in _FROM_PROBE},
        }
        for shots in probe.config.shots
        for split in probe.config.eval_splits
    ]
