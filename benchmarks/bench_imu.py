"""The IMU part of a take against what decoding the same take's frames costs.

A part is read, calibrated, resampled, its quality counted, and written; from an Aria file with both
its IMUs, of which one is asked for. ``ours`` reads the records in bulk, ``projectaria`` one by one
by the maker's library, as the published way does; the rest is the same, and so are the parts.
``ours_reading`` ends with the calibrated samples. ``decode_448`` is what the part is to be small
against: every grid frame of the take decoded and scaled to 224 pixels, nothing encoded.
"""

import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
from moving_video import FPS, GOP_FRAMES, loop_video, write_moving_video
from side_by_side import Case, make_parser, measure_cpu, ratios, report

from pipelines.align.clock import TakeClock
from pipelines.config import ImuConfig
from pipelines.datasets.base import ImuRecording
from pipelines.imu.aria_vrs import open_aria_imu
from pipelines.parts.imu import write_imu_part
from pipelines.parts.store import PartStore
from pipelines.synthetic.aria_imu import make_calib_json
from pipelines.synthetic.vrs_writer import AriaImuBlock, AriaImuStream, write_aria_vrs
from pipelines.video.decode import open_video
from pipelines.video.grid import match_frames
from schemas.time import NS_PER_MS, NS_PER_S, Interval, grid_ns

__all__ = ["main"]

SIZE_PX: Final = 448
IMAGE_SIZE: Final = 224
STEP_MS: Final = 100
TOLERANCE_MS: Final = 17
STREAM: Final = "imu-right"
# The device's clock when the take begins.
ORIGIN_NS: Final = 300 * NS_PER_S
BLOCK_S: Final = 10
SEED: Final = 0


def write_recording(path: Path, *, seconds: int, device: str) -> Path:
    """Write a take's VRS file with both IMUs, 1000 and 800 Hz, of noise around gravity."""
    rng = np.random.default_rng(SEED)
    blocks = []
    for start in range(0, seconds, BLOCK_S):
        sensors = []
        for instance, hz in ((1, 1000), (2, 800)):
            count = min(BLOCK_S, seconds - start) * hz
            accel, gyro = rng.normal(size=(2, count, 3))
            accel[:, 2] += 9.81
            t_ns = ORIGIN_NS + start * NS_PER_S + np.arange(count) * (NS_PER_S // hz)
            sensors.append(
                AriaImuBlock(instance=instance, t_ns=t_ns, accel_m_s2=accel, gyro_rad_s=gyro)
            )
        blocks.append(sensors)
    streams = [
        AriaImuStream(instance=1, label="imu-right", nominal_rate_hz=1000),
        AriaImuStream(instance=2, label="imu-left", nominal_rate_hz=800),
    ]
    calib_json, tags = make_calib_json(), {"device_type": device}
    write_aria_vrs(path, streams=streams, blocks=blocks, calib_json=calib_json, tags=tags)
    return path


def open_recording(path: Path, *, seconds: int) -> ImuRecording:
    """Open a take's IMU on a clock with one matched instant a frame."""
    device_ns = ORIGIN_NS + np.arange(seconds * FPS + 1, dtype=np.int64) * NS_PER_S // FPS
    clock = TakeClock(
        device_ns=device_ns,
        take_ns=device_ns - ORIGIN_NS,
        span=Interval(0, seconds * NS_PER_S),
    )
    return open_aria_imu(path, stream=STREAM, clock=clock, accept_sensor_frame=False)


def read_only(path: Path, *, seconds: int) -> int:
    """Return how many samples a take has, all of them read and calibrated."""
    return sum(len(run.accel) for run in open_recording(path, seconds=seconds).runs)


def write_part(path: Path, *, seconds: int, parts: PartStore, key: str) -> int:
    """Write a take's imu part; return how long it is, seconds."""
    recording = open_recording(path, seconds=seconds)
    span = Interval(0, seconds * NS_PER_S)
    write_imu_part(parts, key, recording=recording, span=span, config=ImuConfig(stream=STREAM))
    return seconds


def decode(path: Path, *, seconds: int, threads: int) -> int:
    """Return how many grid frames of a take were decoded and scaled."""
    video = open_video(path, decoder="auto")
    grid = grid_ns(Interval(0, seconds * NS_PER_S), step_ns=STEP_MS * NS_PER_MS)
    wanted = match_frames(video.pts_ns, grid=grid, tolerance_ns=TOLERANCE_MS * NS_PER_MS)
    return sum(len(some) for some in video.read(wanted, short_side=IMAGE_SIZE, threads=threads))


def compare(folder: Path, *, seconds: int, threads: int, repeats: int) -> Case:
    """Time the ways on one take, and hold the parts of both readers against each other."""
    own = write_recording(folder / "own.vrs", seconds=seconds, device="Aria")
    # Under a name not known here, so that the library has to read it.
    library = write_recording(folder / "library.vrs", seconds=seconds, device="Aria One")
    piece = write_moving_video(folder / "piece.mp4", frames=GOP_FRAMES, size_px=SIZE_PX, b_frames=0)
    video = loop_video(piece, folder / "take.mp4", seconds=seconds)
    parts = PartStore(folder / "parts")
    keys = {"ours": "a" * 64, "projectaria": "b" * 64}
    measured = measure_cpu(
        {
            "decode_448": partial(decode, video, seconds=seconds, threads=threads),
            "projectaria": partial(
                write_part, library, seconds=seconds, parts=parts, key=keys["projectaria"]
            ),
            "ours": partial(write_part, own, seconds=seconds, parts=parts, key=keys["ours"]),
            "ours_reading": partial(read_only, own, seconds=seconds),
        },
        repeats=repeats,
        per=seconds,
    )
    ours, theirs = (parts.read_table("imu", keys[way]) for way in ("ours", "projectaria"))
    readers = [open_recording(path, seconds=1).info["read_by"] for path in (own, library)]
    agreement = {
        "grid_points": ours.num_rows,
        "valid_points": int(ours["valid"].to_numpy().sum()),
        "samples": measured.answers["ours_reading"],
        "grid_frames": measured.answers["decode_448"],
        "same_part": int(ours.equals(theirs)),
        "read_by_both_readers": int(readers == ["bulk", "projectaria-tools"]),
        **ratios(measured, way="ours", over="decode_448"),
        **ratios(measured, way="projectaria", over="decode_448"),
    }
    return Case(
        name=f"take_of_{seconds}_s",
        unit="ms_per_second_of_take",
        runs=measured.wall,
        cpu=measured.cpu,
        agreement=agreement,
    )


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    """Run the benchmark."""
    parser = make_parser(__doc__, repeats=5)
    parser.add_argument("--seconds", type=int, default=120, help="length of the take")
    parser.add_argument("--threads", type=int, default=2, help="of decode_448")
    args = parser.parse_args(argv)
    seconds, repeats = (9, 1) if args.quick else (args.seconds, args.repeats)
    if seconds < 1:
        parser.error(f"--seconds must be at least 1, got {seconds}")
    with tempfile.TemporaryDirectory() as folder:
        case = compare(Path(folder), seconds=seconds, threads=args.threads, repeats=repeats)
    settings = {"seconds": seconds, "size_px": SIZE_PX, "threads": args.threads, "stream": STREAM}
    return report("imu", cases=[case], quick=args.quick, settings=settings)


if __name__ == "__main__":
    main()
