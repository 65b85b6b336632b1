"""Write a synthetic dataset in the on-disk layout of Ego4D, with the truth beside it."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from pipelines.synthetic.arguments import FullSize, check_size_px, parse_full_size
from pipelines.synthetic.documents import write_json, write_truth_file
from pipelines.synthetic.ego4d_annotations import make_ego4d_json, make_narrations
from pipelines.synthetic.ego4d_imu import write_ego4d_csv
from pipelines.synthetic.ego4d_truth import Ego4DTakeTruth, frame_times, plan_ego4d
from pipelines.synthetic.jobs import make_new_folder, write_all
from pipelines.synthetic.spoil_video import write_spoiled_video

__all__ = ["EGO4D_VERSION", "write_ego4d"]

EGO4D_VERSION: Final = "v2_1"
_FULL_SCALE: Final = 2


def write_ego4d(
    dest: Path,
    *,
    takes: int,
    seconds: float,
    seed: int,
    participants: int = 4,
    full_size: FullSize = "none",
    faults: Sequence[str] = (),
    workers: int = 1,
    size_px: int = 540,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Write ``takes`` videos of ``seconds`` each to the folder ``dest``.

    Equal arguments give equal bytes, whatever ``workers`` is. Memory does not grow with
    ``seconds``: hours are written in blocks.

    Args:
        dest: folder to make; must not exist or be empty.
        takes: number of videos; they go round the eight activities, then to the next participant.
        seconds: length of each video.
        seed: of everything drawn.
        participants: how many people there are.
        full_size: which videos stand in ``full_scale`` too, of twice the size.
        faults: names of faults, or ``all``; each spoils another video, the last ones first.
        workers: processes that write videos.
        size_px: side of the pictures in ``video_540ss``, a multiple of 4.
        progress: called with (videos written, videos) after each.

    Raises:
        UsageError: for arguments that cannot be, or a folder that holds something.
    """
    is_large = parse_full_size(full_size, takes=takes)
    check_size_px(size_px)
    truth = plan_ego4d(
        takes=takes, seconds=seconds, seed=seed, participants=participants, faults=faults
    )
    make_new_folder(dest)
    base = dest / EGO4D_VERSION
    for folder in ("annotations", "imu", "video_540ss"):
        (base / folder).mkdir(parents=True)
    narrations, counts = make_narrations(truth)
    write_json(dest / "ego4d.json", make_ego4d_json(truth, height_px=_FULL_SCALE * size_px))
    write_json(base / "annotations" / "narration.json", narrations)
    jobs = [(take, size_px, large) for take, large in zip(truth.takes, is_large, strict=True)]
    write_all(_write_take, jobs, dest=base, workers=workers, progress=progress)
    write_truth_file(dest, truth.model_copy(update={"narrations": counts}))


def _write_take(base: Path, job: tuple[Ego4DTakeTruth, int, bool]) -> None:
    take, size_px, is_full_size = job
    if take.fault != "imu_file_missing":
        write_ego4d_csv(base / "imu" / f"{take.take_uid}.csv", take=take)
    _write_video(base / "video_540ss", take=take, size_px=size_px)
    if is_full_size:
        _write_video(base / "full_scale", take=take, size_px=_FULL_SCALE * size_px)


def _write_video(folder: Path, *, take: Ego4DTakeTruth, size_px: int) -> None:
    folder.mkdir(exist_ok=True)
    times = frame_times(take)
    write_spoiled_video(
        folder / f"{take.take_uid}.mp4",
        fault=take.fault,
        scene=take,
        seen_ns=times.ns(),
        times=times,
        size_px=size_px,
    )
