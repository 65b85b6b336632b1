"""Write a synthetic folder of one's own data (``docs/own-data.md``), with the truth beside it."""

import csv
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from pipelines.synthetic.documents import write_truth_file
from pipelines.synthetic.folder_truth import (
    FolderTake,
    FolderTruth,
    folder_signal,
    folder_stamps,
    plan_folder,
)
from pipelines.synthetic.jobs import make_new_folder, write_all
from pipelines.synthetic.sentences import make_sentences
from pipelines.synthetic.spoil_video import plan_frame_times, write_spoiled_video
from schemas.imu import IMU_CHANNELS
from schemas.time import NS_PER_MS, seconds_to_ns

__all__ = ["write_folder"]

_SIZE_PX: Final = 224
_BLOCK_SAMPLES: Final = 4096
_STEP_BACK_NS: Final = 50 * NS_PER_MS
_NOISE: Final = (0.06, 0.06, 0.06, 0.006, 0.006, 0.006)
_BAD_SAMPLES: Final = 8
_IMU_SCHEMA: Final = pa.schema(
    [pa.field("t_ns", pa.int64()), *(pa.field(name, pa.float64()) for name in IMU_CHANNELS)]
)
_STRANGER: Final = "take-of-nobody"


def write_folder(
    dest: Path,
    *,
    takes: int,
    seconds: float,
    seed: int,
    participants: int = 4,
    faults: Sequence[str] = (),
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Write ``takes`` takes of ``seconds`` each to the folder ``dest``.

    Equal arguments give equal bytes, whatever ``workers`` is. IMU tables are Parquet and CSV in
    turn; every third counts from 1970 and states the first frame's instant.

    Args:
        dest: folder to make; must not exist or be empty.
        takes: number of takes; they go round the people, then on to the next activity.
        seconds: length of each take's video.
        seed: of everything drawn.
        participants: how many people there are.
        faults: names of faults, or ``all``; each spoils another take, the last ones first.
        workers: processes that write takes.
        progress: called with (takes written, takes) after each.

    Raises:
        UsageError: for arguments that cannot be, or a folder that holds something.
    """
    truth = plan_folder(
        takes=takes, seconds=seconds, seed=seed, participants=participants, faults=faults
    )
    make_new_folder(dest)
    truth = truth.model_copy(update={"narrations": _write_tables(dest, truth=truth)})
    write_all(_write_take, truth.takes, dest=dest, workers=workers, progress=progress)
    write_truth_file(dest, truth)


def _write_tables(dest: Path, *, truth: FolderTruth) -> dict[str, int]:
    _write_csv(
        dest / "takes.csv",
        [
            {
                "take_uid": take.take_uid,
                "take_name": f"{take.label} {take.take_uid}",
                "participant": take.participant.participant_uid,
                "label": take.label,
                "split": take.split,
                "video": take.video,
                "imu": take.imu,
                "imu_frame": "device",
                "first_frame_ns": take.first_frame_ns,
                "duration_s": truth.seconds,
            }
            for take in truth.takes
        ],
    )
    known = [entry for take in truth.takes for entry in _narrate(take, seconds=truth.seconds)]
    unknown = [
        {**entry, "take_uid": _STRANGER}
        for take in truth.takes
        if take.fault == "unknown_take"
        for entry in _narrate(take, seconds=truth.seconds)
    ]
    _write_csv(dest / "narrations.csv", [*known, *unknown])
    return {"known": len(known), "unknown_take": len(unknown)}


def _narrate(take: FolderTake, *, seconds: float) -> list[dict[str, Any]]:
    said = make_sentences(
        take.activity,
        schedule=take.sub_actions,
        first_s=0.3,
        until_s=seconds,
        seconds=seconds,
        fault=take.fault,
        rng=np.random.default_rng([take.seed, 32]),
    )
    return [
        {
            "take_uid": take.take_uid,
            "t_ns": seconds_to_ns(at_s),
            "text": text,
            "source": "narrations",
            "pass": "1",
            "subject": "wearer",
            "visible": "true",
        }
        for at_s, text in said
    ]


def _write_csv(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def _write_take(dest: Path, take: FolderTake) -> None:
    if take.fault == "path_escape":
        # Its files are named outside the folder, where nothing is ever written.
        return
    (dest / take.take_uid).mkdir()
    times = plan_frame_times(take.fault, frames=take.frames, seed=take.seed)
    write_spoiled_video(
        dest / take.video,
        fault=take.fault,
        scene=take,
        seen_ns=times.ns(),
        times=times,
        size_px=_SIZE_PX,
    )
    if take.fault != "imu_file_missing":
        _write_imu(dest / take.imu, take=take)


def _write_imu(path: Path, *, take: FolderTake) -> None:
    with (
        pacsv.CSVWriter(path, _IMU_SCHEMA)
        if path.suffix == ".csv"
        else pq.ParquetWriter(path, _IMU_SCHEMA, compression="zstd") as writer
    ):
        for batch in _imu_batches(take):
            writer.write_batch(batch)


def _imu_batches(take: FolderTake) -> Iterator[pa.RecordBatch]:
    rng = np.random.default_rng([take.seed, 33])
    samples = take.stream.samples
    for first in range(0, samples, _BLOCK_SAMPLES):
        count = min(_BLOCK_SAMPLES, samples - first)
        t_ns = folder_stamps(take, first=first, count=count)
        noise = rng.normal(0, _NOISE, (len(t_ns), len(_NOISE))) * take.participant.noise
        values = folder_signal(take, t_ns) + noise
        stamps = t_ns + take.first_frame_ns + take.late_ns
        if take.fault == "imu_backward":
            stamps -= np.where(first + np.arange(len(t_ns)) >= samples // 2, _STEP_BACK_NS, 0)
        masks = np.zeros(values.shape, np.bool_)
        if take.fault == "imu_nan":
            number = first + np.arange(len(t_ns)) + 1
            bad = np.flatnonzero(number % max(1, samples // (_BAD_SAMPLES + 1)) == 0)
            values[bad[::2], 0] = np.nan
            masks[bad[1::2], 4] = True
        columns = [pa.array(values[:, i], mask=masks[:, i]) for i in range(len(_NOISE))]
        yield pa.RecordBatch.from_arrays([pa.array(stamps), *columns], schema=_IMU_SCHEMA)
