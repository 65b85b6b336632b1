"""Write a synthetic dataset in the on-disk layout of RealWorld HAR, with the truth beside it.

The oddities of the real files are there for the same people: climbing in several parts, whose
archives lie inside one another or side by side; names with a stray ``_2``; files that are missing.
"""

import io
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from pipelines.synthetic.documents import write_truth_file
from pipelines.synthetic.jobs import make_new_folder, write_all
from pipelines.synthetic.realworld_truth import (
    DeviceTruth,
    RealWorldPart,
    RealWorldRecording,
    plan_realworld,
    realworld_signal,
    recorded_ms,
)
from pipelines.synthetic.truth import drop_gap, imu_sample_ns

__all__ = ["write_realworld"]

_STRAY_TWO: Final = frozenset(
    ((4, "walking"), (6, "sitting"), (7, "sitting"), (8, "standing"), (13, "walking"))
)
# (proband, activity, position, sensors without a file)
_MISSING: Final = (
    (2, "climbingup", "forearm", ("acc", "gyr")),
    (6, "jumping", "thigh", ("gyr",)),
)
# Proband 14's parts lie side by side, the others' inside one archive.
_SIDE_BY_SIDE: Final = 14
_FILE_STEM: Final = {"acc": "acc", "gyr": "Gyroscope"}
_README: Final = "Synthetic data in the layout of RealWorld HAR; no person was recorded.\n"
_NOISE: Final = {"acc": 0.06, "gyr": 0.006}
_EPOCH: Final = (1980, 1, 1, 0, 0, 0)
_BAD_SAMPLES: Final = 6
_SWAPPED_ROWS: Final = 10


def write_realworld(
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
    """Write ``takes`` recordings of one person and activity each to the folder ``dest``.

    Equal arguments give equal bytes, whatever ``workers`` is.

    Args:
        dest: folder to make; must not exist or be empty.
        takes: recordings; they go round the people, then on to the next activity.
        seconds: length of each recording, or of each of its parts.
        seed: of everything drawn.
        participants: how many people there are, at most 15.
        faults: names of faults, or ``all``; each spoils another recording, the last ones first.
        workers: processes that write recordings.
        progress: called with (recordings written, recordings) after each.

    Raises:
        UsageError: for arguments that cannot be, or a folder that holds something.
    """
    truth = plan_realworld(
        takes=takes, seconds=seconds, seed=seed, participants=participants, faults=faults
    )
    make_new_folder(dest)
    write_all(_write_recording, truth.recordings, dest=dest, workers=workers, progress=progress)
    write_truth_file(dest, truth)


def _write_recording(dest: Path, recording: RealWorldRecording) -> None:
    folder = dest / f"proband{recording.proband}" / "data"
    folder.mkdir(parents=True, exist_ok=True)
    for sensor in _FILE_STEM:
        if sensor == "gyr" and recording.fault == "imu_file_missing":
            continue
        stem = f"{sensor}_{recording.activity_name}"
        if len(recording.parts) == 1:
            data = _make_archive(recording, recording.parts[0], sensor=sensor)
            (folder / f"{stem}_csv.zip").write_bytes(data)
            continue
        inner = {}
        for part in recording.parts:
            # The gyroscope's first part carries no number.
            number = "" if sensor == "gyr" and part.part == 1 else f"_{part.part}"
            inner[f"{stem}{number}_csv.zip"] = _make_archive(recording, part, sensor=sensor)
        if recording.proband == _SIDE_BY_SIDE:
            for name, data in inner.items():
                (folder / name).write_bytes(data)
        else:
            (folder / f"{stem}_csv.zip").write_bytes(_zip(inner))


def _make_archive(recording: RealWorldRecording, part: RealWorldPart, *, sensor: str) -> bytes:
    number = ""
    if len(recording.parts) > 1 and not (sensor == "gyr" and part.part == 1):
        number = f"_{part.part}"
    elif (recording.proband, recording.activity_name) in _STRAY_TWO:
        number = "_2"
    files = {"readme.txt": _README.encode()}
    for device in part.devices:
        if _is_missing(recording, position=device.position, sensor=sensor):
            continue
        name = f"{_FILE_STEM[sensor]}_{recording.activity_name}{number}_{device.position}.csv"
        files[name] = _make_csv(part, device, sensor=sensor, fault=recording.fault)
    return _zip(files)


def _is_missing(recording: RealWorldRecording, *, position: str, sensor: str) -> bool:
    here = (recording.proband, recording.activity_name, position)
    return any(here == entry[:3] and sensor in entry[3] for entry in _MISSING)


def _zip(files: dict[str, bytes]) -> bytes:
    # Dated alike, so that equal content gives equal bytes.
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
        for name, data in files.items():
            info = zipfile.ZipInfo(name, date_time=_EPOCH)
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, data)
    return buffer.getvalue()


def _make_csv(part: RealWorldPart, device: DeviceTruth, *, sensor: str, fault: str | None) -> bytes:
    stream = device.acc if sensor == "acc" else device.gyr
    t_ns = drop_gap(imu_sample_ns(stream), device.gap_ns)
    felt = realworld_signal(part, position=device.position, device_ns=t_ns)
    rng = np.random.default_rng([stream.jitter_seed, 22])
    values = felt[:, :3] if sensor == "acc" else felt[:, 3:]
    values = values + rng.normal(0, _NOISE[sensor], values.shape) * part.participant.noise
    ms = recorded_ms(t_ns)
    cells = [[f"{value:.7f}" for value in row] for row in values.tolist()]
    if fault == "imu_nan":
        _spoil_cells(cells, rng=rng)
    order = _swapped(len(ms)) if fault == "imu_backward" else np.arange(len(ms))
    lines = ["id,attr_time,attr_x,attr_y,attr_z"]
    lines += [f"{i + 1},{ms[i]},{','.join(cells[i])}" for i in order.tolist()]
    return ("\n".join(lines) + "\n").encode()


def _spoil_cells(cells: list[list[str]], *, rng: np.random.Generator) -> None:
    # Single samples apart from each other, so that no gap is too long to be bridged.
    rows = np.linspace(5, len(cells) - 6, _BAD_SAMPLES).astype(int)
    for place, row in enumerate(rows.tolist()):
        if place % 2:
            cells[row] = ["", "", ""]
        else:
            cells[row][int(rng.integers(3))] = "NaN"


def _swapped(rows: int) -> npt.NDArray[np.int64]:
    order = np.arange(rows)
    at = rows // 3
    first = order[at : at + _SWAPPED_ROWS].copy()
    order[at : at + _SWAPPED_ROWS] = order[at + _SWAPPED_ROWS : at + 2 * _SWAPPED_ROWS]
    order[at + _SWAPPED_ROWS : at + 2 * _SWAPPED_ROWS] = first
    return order
