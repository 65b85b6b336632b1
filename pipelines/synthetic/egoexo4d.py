"""Write a synthetic dataset in the on-disk layout of Ego-Exo4D, with the truth beside it."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from pipelines.synthetic.arguments import FullSize, parse_full_size
from pipelines.synthetic.aria_imu import write_take_vrs
from pipelines.synthetic.commentary import make_commentary
from pipelines.synthetic.documents import write_json, write_truth_file
from pipelines.synthetic.jobs import make_new_folder, write_all
from pipelines.synthetic.metadata import (
    VIDEO_448_PATH,
    VIDEO_FULL_PATH,
    VRS_NAME,
    make_captures,
    make_participants,
    make_physical_settings,
    make_splits,
    make_takes,
    take_folder,
    write_timesync,
)
from pipelines.synthetic.narrate import make_annotations
from pipelines.synthetic.plan import plan_dataset
from pipelines.synthetic.spoil_video import plan_frame_times, write_spoiled_video
from pipelines.synthetic.truth import DatasetTruth, TakeTruth, frame_device_ns

__all__ = ["write_egoexo4d", "write_metadata", "write_take"]

_FULL_PX: Final = 1408
_SMALL_PX: Final = 448


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
    small_px: int = _SMALL_PX,
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
        faults: names of ``faults.FAULTS`` for egoexo4d, or ``all``; each spoils another take, the
            last ones first.
        small_px: side of the copy that stands for the 448-px one; fewer pixels are faster to make.
        progress: called with (takes written, takes) after each take.

    Raises:
        UsageError: for arguments that cannot be, or a folder that holds something.
    """
    is_large = parse_full_size(full_size, takes=takes)
    truth = plan_dataset(
        takes=takes, seconds=seconds, seed=seed, participants=participants, faults=faults
    )
    make_new_folder(dest)
    truth = truth.model_copy(update={"narrations": write_metadata(dest, truth=truth)})
    jobs = [(take, small_px, large) for take, large in zip(truth.takes, is_large, strict=True)]
    write_all(write_take, jobs, dest=dest, workers=workers, progress=progress)
    write_truth_file(dest, truth)


def write_metadata(dest: Path, *, truth: DatasetTruth) -> dict[str, int]:
    """Write everything but the takes' own files; return the numbers of narrations by kind."""
    (dest / "annotations").mkdir(parents=True, exist_ok=True)
    write_json(dest / "takes.json", make_takes(truth))
    write_json(dest / "captures.json", make_captures(truth))
    write_json(dest / "participants.json", make_participants(truth))
    write_json(dest / "physical_setting.json", make_physical_settings(truth))
    write_json(dest / "annotations" / "splits.json", make_splits(truth))
    counts: dict[str, int] = {}
    for split in ("train", "val"):
        found = make_annotations(truth, file_split=split)
        write_json(dest / "annotations" / f"atomic_descriptions_{split}.json", found.document)
        commentary = make_commentary(truth, file_split=split)
        write_json(dest / "annotations" / f"expert_commentary_{split}.json", commentary)
        for kind, count in found.counts.items():
            counts[kind] = counts.get(kind, 0) + count
    for clock in {take.capture_uid: take.clock for take in truth.takes}.values():
        write_timesync(dest / "captures" / clock.capture_name / "timesync.csv", clock=clock)
    return counts


def write_take(dest: Path, job: tuple[TakeTruth, int, bool]) -> None:
    """Write one take's own files: a job is the take, ``small_px`` and whether full size too."""
    take, small_px, is_full_size = job
    if take.fault == "path_escape":
        # Its files would lie outside; that its folder's name leads there is the fault.
        return
    folder = dest / take_folder(take)
    small = folder / VIDEO_448_PATH
    small.parent.mkdir(parents=True, exist_ok=True)
    if take.fault == "vrs_corrupt":
        rubbish = np.random.default_rng([take.seed, 11]).bytes(65_536)
        (folder / VRS_NAME).write_bytes(rubbish)
    elif take.fault != "vrs_missing":
        write_take_vrs(folder / VRS_NAME, take=take)
    _write_take_video(small, take=take, size_px=small_px)
    if is_full_size:
        _write_take_video(folder / VIDEO_FULL_PATH, take=take, size_px=_FULL_PX)


def _write_take_video(path: Path, *, take: TakeTruth, size_px: int) -> None:
    times = plan_frame_times(take.fault, frames=take.frames, seed=take.seed)
    # Frame-aligned: frame i is row i's instant, whatever time the file shows it at.
    seen_ns = frame_device_ns(take)[: len(times)] - take.origin_ns
    write_spoiled_video(
        path, fault=take.fault, scene=take, seen_ns=seen_ns, times=times, size_px=size_px
    )
