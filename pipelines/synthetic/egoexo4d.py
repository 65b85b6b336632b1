"""Write a synthetic dataset in the on-disk layout of Ego-Exo4D, with the truth beside it."""

import json
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np

from pipelines.synthetic.aria_imu import write_take_vrs
from pipelines.synthetic.metadata import (
    VIDEO_448_PATH,
    VIDEO_FULL_PATH,
    VRS_NAME,
    make_captures,
    make_participants,
    make_physical_settings,
    make_splits,
    make_takes,
    write_timesync,
)
from pipelines.synthetic.narrate import make_annotations
from pipelines.synthetic.picture import write_video
from pipelines.synthetic.plan import plan_dataset
from pipelines.synthetic.truth import DatasetTruth, TakeTruth
from schemas.errors import UsageError

__all__ = ["write_egoexo4d"]

_FULL_PX: Final = 1408
_SMALL_PX: Final = 448
FullSize = Literal["none", "one", "all"]


def write_egoexo4d(
    dest: Path,
    *,
    takes: int,
    seconds: float,
    seed: int,
    full_size: FullSize = "none",
    participants: int = 4,
    workers: int = 1,
    faults: Sequence[str] = (),
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Write a dataset of ``takes`` takes of ``seconds`` each to the folder ``dest``.

    Equal arguments give equal bytes, whatever ``workers`` is.

    Args:
        dest: folder to make; must not exist or be empty.
        takes: number of takes; they go round the eight activities, then to the next participant.
        seconds: length of each take's video.
        seed: of everything drawn.
        full_size: which takes get a 1408-px video beside the 448-px one.
        participants: how many people there are.
        workers: processes that write takes.
        faults: names from ``plan.FAULTS``; each spoils another take, the last ones first.
        progress: called with (takes written, takes) after each take.

    Raises:
        UsageError: for arguments that cannot be, or a folder that holds something.
    """
    if full_size not in ("none", "one", "all"):
        raise UsageError(f"full_size must be none, one or all, got {full_size!r}")
    if dest.exists() and (not dest.is_dir() or any(dest.iterdir())):
        raise UsageError(f"the dataset's folder must be new or empty, got {dest}")
    truth = plan_dataset(
        takes=takes, seconds=seconds, seed=seed, participants=participants, faults=faults
    )
    truth = truth.model_copy(update={"narrations": _write_metadata(dest, truth=truth)})
    jobs = [
        (take, full_size == "all" or (full_size == "one" and number == 0))
        for number, take in enumerate(truth.takes)
    ]
    if workers > 1 and len(jobs) > 1:
        _write_in_processes(dest, jobs=jobs, workers=workers, progress=progress)
    else:
        for number, (take, is_full_size) in enumerate(jobs):
            _write_take(dest, take, is_full_size)
            if progress is not None:
                progress(number + 1, len(jobs))
    # Last: a dataset without its truth was not finished.
    (dest / "truth.json").write_text(truth.model_dump_json(indent=1), encoding="utf-8")


def _write_in_processes(
    dest: Path,
    *,
    jobs: Sequence[tuple[TakeTruth, bool]],
    workers: int,
    progress: Callable[[int, int], None] | None,
) -> None:
    with ProcessPoolExecutor(max_workers=workers, mp_context=get_context("spawn")) as pool:
        futures = [pool.submit(_write_take, dest, *job) for job in jobs]
        try:
            for done, future in enumerate(as_completed(futures), start=1):
                future.result()
                if progress is not None:
                    progress(done, len(jobs))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _write_metadata(dest: Path, *, truth: DatasetTruth) -> dict[str, int]:
    (dest / "annotations").mkdir(parents=True, exist_ok=True)
    _write_json(dest / "takes.json", make_takes(truth))
    _write_json(dest / "captures.json", make_captures(truth))
    _write_json(dest / "participants.json", make_participants(truth))
    _write_json(dest / "physical_setting.json", make_physical_settings(truth))
    _write_json(dest / "annotations" / "splits.json", make_splits(truth))
    counts: dict[str, int] = {}
    for split in ("train", "val"):
        found = make_annotations(truth, file_split=split)
        _write_json(dest / "annotations" / f"atomic_descriptions_{split}.json", found.document)
        for kind, count in found.counts.items():
            counts[kind] = counts.get(kind, 0) + count
    for clock in {take.capture_uid: take.clock for take in truth.takes}.values():
        write_timesync(dest / "captures" / clock.capture_name / "timesync.csv", clock=clock)
    return counts


def _write_take(dest: Path, take: TakeTruth, is_full_size: bool) -> None:
    folder = dest / "takes" / take.take_name
    small = folder / VIDEO_448_PATH
    small.parent.mkdir(parents=True, exist_ok=True)
    if take.fault == "vrs_corrupt":
        rubbish = np.random.default_rng([take.seed, 11]).bytes(65_536)
        (folder / VRS_NAME).write_bytes(rubbish)
    elif take.fault != "vrs_missing":
        write_take_vrs(folder / VRS_NAME, take=take)
    write_video(small, take=take, size_px=_SMALL_PX)
    if is_full_size:
        write_video(folder / VIDEO_FULL_PATH, take=take, size_px=_FULL_PX)


def _write_json(path: Path, document: Any) -> None:  # noqa: ANN401
    path.write_text(json.dumps(document, indent=1, ensure_ascii=False), encoding="utf-8")
