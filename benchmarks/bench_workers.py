"""Dask workers against one another, and Prefect with Dask against no orchestration at all.

The same decode-bound run of many takes three ways: ``inline`` in one process, on Prefect and Dask
with ``one_worker``, and with ``two_workers``; a worker is a process of one thread
(``execution.threads=1``), the encoder is tiny, and each take is a moving 448-px video. Each way is
a program of its own, started as a user would start it.

``takes`` compares the seconds in which takes were prepared: what a second worker brings. ``rest``
compares all seconds but the start-up, the end of the program included: what Prefect and Dask cost
over ``inline``; the start-up stands apart. Others on the machine disturb the clock more than the
processor's time, which is told too.
"""

import json
import os
import shutil
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from moving_video import FPS, GOP_FRAMES, loop_video, write_moving_video
from side_by_side import Case, make_parser, report

from pipelines.encoders.make_encoder import make_encoder
from schemas.time import NS_PER_S

__all__ = ["main"]

ROOT: Final = Path(__file__).resolve().parents[1]
IMU_HZ: Final = 50
WAYS: Final = {
    "inline": ("--executor", "inline"),
    "one_worker": ("--executor", "dask", "--workers", "1"),
    "two_workers": ("--executor", "dask", "--workers", "2"),
}
# The program as a user starts it, but for telling when it began.
PROGRAM: Final = """
import sys, time
began = time.perf_counter()
import flows.prepare
from flows.cli import main
sys.stderr.write(f"imports: {time.perf_counter() - began}\\n")
sys.exit(main())
"""
SETTINGS: Final = ("segments.policy=stride", "audit.enabled=false", "execution.threads=1")


def write_takes(root: Path, *, takes: int, seconds: float, size_px: int) -> None:
    """Write a folder dataset whose takes hold the same pictures in files that differ.

    Equal files would have equal keys, so that one take's parts would serve them all: each video
    ends in a box of its own that players pass over.
    """
    root.mkdir()
    piece = write_moving_video(
        root / "piece.mp4", frames=min(GOP_FRAMES, int(seconds * FPS)), size_px=size_px, b_frames=0
    )
    video = loop_video(piece, root / "video.mp4", seconds=seconds)
    rng = np.random.default_rng(0)
    samples = int((seconds + 1) * IMU_HZ)
    columns: dict[str, Any] = {"t_ns": np.arange(samples) * (NS_PER_S // IMU_HZ)}
    for sensor in ("accel", "gyro"):
        columns |= {f"{sensor}_{axis}": rng.normal(size=samples) for axis in "xyz"}
    columns["accel_z"] = columns["accel_z"] + 9.81
    pq.write_table(pa.table(columns), root / "imu.parquet")
    rows = ["take_uid,participant,video,imu"]
    for index in range(takes):
        name = f"take{index:03}"
        shutil.copyfile(video, root / f"{name}.mp4")
        with (root / f"{name}.mp4").open("ab") as file:
            file.write(struct.pack(">I4sI", 12, b"free", index))
        rows.append(f"{name},p{index % 4},{name}.mp4,imu.parquet")
    (root / "takes.csv").write_text("\n".join(rows) + "\n")
    for leftover in (piece, video):
        leftover.unlink()


def run_program(way: str, *, root: Path, encoder: Path, store: Path, home: Path) -> dict[str, Any]:
    """Run primus-prep into a new store; return its report with wall and processor seconds."""
    command = [
        *(sys.executable, "-c", PROGRAM, "run", "--dataset", "folder", "--root", str(root)),
        *("--encoder", str(encoder), "--store", str(store), "--json", *WAYS[way]),
        *(part for setting in SETTINGS for part in ("--set", setting)),
    ]
    environment = {**os.environ, "PREFECT_HOME": str(home), "PYTHONPATH": str(ROOT)}
    environment.pop("PREFECT_API_URL", None)
    began, cpu_began = time.perf_counter(), os.times()
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    wall, cpu_ended = time.perf_counter() - began, os.times()
    if done.returncode:
        raise RuntimeError(f"primus-prep must end with 0, got {done.returncode}: {done.stderr}")
    found: dict[str, Any] = json.loads(done.stdout)
    cpu = sum(cpu_ended[2:4]) - sum(cpu_began[2:4])
    imports = float(done.stderr.partition("imports: ")[2].partition("\n")[0])
    start = imports + found["seconds"]["start"]
    return found | {"cpu": cpu, "start": start, "rest": wall - start}


def compare(root: Path, *, encoder: Path, work: Path, repeats: int) -> list[Case]:
    """Run every way ``repeats`` times in turn and return the two comparisons."""
    found: dict[str, list[dict[str, Any]]] = {way: [] for way in WAYS}
    home = work / "prefect"
    names = list(WAYS)
    for number in range(repeats):
        for way in names[number % 3 :] + names[: number % 3]:
            store = work / "store"
            found[way].append(run_program(way, root=root, encoder=encoder, store=store, home=home))
            shutil.rmtree(store)
    takes = {way: [run["seconds"]["takes"] for run in runs] for way, runs in found.items()}
    start = {way: [run["start"] for run in runs] for way, runs in found.items()}
    rest = {way: [run["rest"] for run in runs] for way, runs in found.items()}
    cpu = {way: [run["cpu"] for run in runs] for way, runs in found.items()}
    versions = {run["version"] for runs in found.values() for run in runs}
    busy = {way: _median(runs, "work:frames") for way, runs in found.items()}
    decode = _median(found["inline"], "work:frames.decode")
    return [
        Case(
            name="takes",
            unit="s",
            runs=takes,
            agreement={
                "versions": len(versions),
                "stored": found["inline"][0]["stored"],
                "two_workers_times_one": statistics.median(takes["one_worker"])
                / statistics.median(takes["two_workers"]),
                # Seconds at work say what workers lose to one another, however long they waited.
                "busy_two_workers_over_one": busy["two_workers"] / busy["one_worker"],
                "decode_share_of_frames": decode / busy["inline"],
            },
        ),
        Case(
            name="rest",
            unit="s",
            runs=rest,
            cpu=cpu,
            agreement={
                "one_worker_over_inline": statistics.median(rest["one_worker"])
                / statistics.median(rest["inline"]),
                **{f"start_s_{way}": statistics.median(spent) for way, spent in start.items()},
                "cpu_s_over_inline": statistics.median(cpu["one_worker"])
                - statistics.median(cpu["inline"]),
            },
        ),
    ]


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    """Write the takes, run them, print what came of it and return it."""
    parser = make_parser(__doc__, repeats=3)
    parser.add_argument("--takes", type=int, default=40, help="(default %(default)s)")
    parser.add_argument(
        "--seconds", type=float, default=300.0, help="length of a take (default %(default)s)"
    )
    args = parser.parse_args(argv)
    takes, seconds, size_px, repeats = args.takes, args.seconds, 448, args.repeats
    if args.quick:
        takes, seconds, size_px, repeats = 3, 6.0, 64, 1
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        write_takes(work / "data", takes=takes, seconds=seconds, size_px=size_px)
        encoder = work / "encoder"
        make_encoder(encoder, preset="tiny", seed=0)
        cases = compare(work / "data", encoder=encoder, work=work, repeats=repeats)
    return report(
        "workers",
        cases=cases,
        quick=args.quick,
        settings={"takes": takes, "seconds": seconds, "size_px": size_px, "repeats": repeats},
    )


def _median(runs: Sequence[dict[str, Any]], stage: str) -> float:
    seconds: list[float] = [run["seconds"].get(stage, 0.0) for run in runs]
    return statistics.median(seconds)


if __name__ == "__main__":
    main()
