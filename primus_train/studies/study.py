"""Studies from their settings to their tables and figures."""

import io
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from primus_train.files import write_atomic, write_json
from primus_train.runs import pick_device
from primus_train.studies.drawing import draw_grids
from primus_train.studies.grids import Grid, make_grids
from primus_train.studies.methods import DEFAULT_PAIR
from primus_train.studies.plan import Plan, make_plan
from primus_train.studies.pool import do_all, visible_devices
from primus_train.studies.rows import STUDY_SCHEMA, make_rows
from primus_train.studies.schedule import OnPoints, Outcome, Schedule, counts
from primus_train.studies.settings import StudySettings
from primus_train.studies.sole import sole_study
from primus_train.studies.tables import study_latex, study_markdown
from schemas.errors import UsageError

__all__ = ["run_studies", "run_study"]

_MARKED: Final = tuple(name.replace("_", " ") for name in reversed(DEFAULT_PAIR))


def run_study(settings: StudySettings, *, out: Path, **options: Any) -> dict[str, Any]:  # noqa: ANN401
    """Run one study; see `run_studies` for its options and errors.

    Returns:
        The study's report.
    """
    return run_studies([settings], out=out, **options)[settings.study]


def run_studies(
    studies: Sequence[StudySettings],
    *,
    out: Path,
    jobs: int | None = None,
    device: str = "auto",
    reuse: Sequence[Path] = (),
    on_points: OnPoints | None = None,
    on_wait: Callable[[], object] | None = None,
) -> dict[str, dict[str, Any]]:
    """Make the runs and probes of studies, or find them made, and write their tables and figures.

    Into ``out`` go ``runs`` and ``probes``, named by what they are of and shared by all studies
    there, and ``<study>`` with the endings json, parquet, md, tex, pdf and png. A piece of work
    that fails makes its points n/a, with the reason; the others go on.

    Args:
        studies: what is studied, each study once.
        out: the results' folder.
        jobs: runs and probes at a time; None for one a CUDA device, and one without.
        device: ``auto``, ``cpu`` or ``cuda``.
        reuse: folders of finished runs made elsewhere, used where a wanted run has their key.
        on_points: told points done, of how many, and what is being done.
        on_wait: called once if another study has to end in ``out`` first.

    Returns:
        By study the report in ``<study>.json``, with counts of what was computed and reused now,
        and ``failed``, how many points a fault cost. What two studies need counts in both.

    Raises:
        UsageError: if settings, stores or masks are wrong, or another study works in ``out``.
        RunStoppedError: if a signal stopped it; the same call goes on.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise UsageError("study starts its processes itself: give --jobs instead of torchrun")
    if len({settings.study for settings in studies}) < len(studies):
        raise UsageError("each study must be named once")
    on_cuda = pick_device(device).type == "cuda"
    devices = visible_devices() if on_cuda else ()
    wanted = jobs if jobs is not None else max(1, len(devices))
    if wanted < 1:
        raise UsageError(f"--jobs must be at least 1, got {wanted}")
    plans = [make_plan(settings, out=out, reuse=reuse) for settings in studies]
    began = time.monotonic()
    with sole_study(out, on_wait=on_wait) as held:
        schedule = Schedule(*plans, on_points=on_points, workers=wanted)
        do_all(schedule, jobs=wanted, device=device, devices=devices, inherit=held)
        return {
            plan.settings.study: _report(plan, schedule.outcomes, out=out, began=began)
            for plan in plans
        }


def _report(plan: Plan, outcomes: dict[str, Outcome], *, out: Path, began: float) -> dict[str, Any]:
    """Write a study's tables, figure and report, and return the report."""
    settings = plan.settings
    rows = make_rows(plan, outcomes)
    grids = make_grids(rows, settings=settings)
    files, text = _write(rows, grids, settings=settings, out=out)
    report = {
        "study": settings.study,
        "points": len(rows),
        "failed": sum(row["failed"] for row in rows),
        "not_available": sum(row["reason"] is not None for row in rows),
        "collapsed": sorted({row["title"] for row in rows if row["collapsed"]}),
        "runs": counts([outcomes[key] for key in plan.fits]),
        "probes": counts([outcomes[key] for key in plan.probes]),
        "seconds": round(time.monotonic() - began, 3),
        "tests": _tests(grids),
        "failures": _failures(plan, outcomes),
        "files": files,
        "settings": settings.model_dump(mode="json"),
        "tables": text,
        "rows": rows,
    }
    write_json(out / f"{settings.study}.json", report)
    return report


def _write(
    rows: list[dict[str, Any]], grids: Sequence[Grid], *, settings: StudySettings, out: Path
) -> tuple[list[str], str]:
    """Write tables and figure; return their paths and the tables in words."""
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, schema=STUDY_SCHEMA), buffer)
    text = study_markdown(grids, rows, settings=settings)
    contents: dict[str, bytes] = {
        "parquet": buffer.getvalue(),
        "md": text.encode(),
        "tex": study_latex(grids, settings=settings).encode(),
    }
    contents |= draw_grids(grids, marked=(_MARKED[0], _MARKED[1]))
    for kind, data in contents.items():
        write_atomic(out / f"{settings.study}.{kind}", data)
    return [str(out / f"{settings.study}.{kind}") for kind in contents], text


def _tests(grids: Sequence[Grid]) -> list[dict[str, Any]]:
    return [
        {"panel": grid.title, "compared": grid.comparison.words, **asdict(grid.comparison.test)}
        for grid in grids
        if grid.comparison is not None
    ]


def _failures(plan: Plan, outcomes: dict[str, Outcome]) -> list[dict[str, str]]:
    titles = {key: task.title for key, task in plan.fits.items()}
    titles |= {key: task.title for key, task in plan.probes.items()}
    return [
        {"what": title, "reason": str(outcomes[key].reason)}
        for key, title in titles.items()
        if outcomes[key].result is None
    ]
