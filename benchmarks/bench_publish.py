"""Publish a version from finished parts: by array operations, and segment by segment.

Both ways decide on the same rows; ours fills and writes whole chunks, the other one segment after
the other, as a script would. The same bytes come out. The second case publishes and verifies as
many segments as are asked for, once, and reports each stage beside what the machine can do.
"""

import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from hashlib import sha256
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import zarr
from side_by_side import Case, make_parser, measure_cpu, report
from simulated_parts import SimulatedTakes, write_simulated_parts

from pipelines.parts.store import PartStore
from pipelines.pricing.timed_publish import publish_timed
from pipelines.profile.work import WorkMeter
from pipelines.storage.files import file_sha256
from pipelines.stores.arrays import array_layout, array_spec, create_arrays
from pipelines.stores.assemble import assemble_take
from pipelines.stores.publish import PublishedVersion
from pipelines.stores.task_map import Job, TaskMap, run_here
from pipelines.stores.verify import verify_version
from schemas.imu import IMU_CHANNELS
from schemas.store import sha256_hex, version_path

__all__ = ["main"]

SEED: Final = 0
SEGMENTS: Final = 250_000
DIM: Final = 512
_MEGABYTE: Final = 1 << 20
_PROBE_BYTES: Final = 256 * _MEGABYTE

Digests = dict[str, str]
"""Chunk file, relative to the group: its SHA-256."""


def publish(
    store: Path, sim: SimulatedTakes, *, run_tasks: TaskMap, meter: WorkMeter | None = None
) -> PublishedVersion:
    """Publish the simulated takes into ``store``, whose parts may lie elsewhere."""
    return publish_timed(
        store,
        takes=sim.takes,
        config=sim.config,
        spec=sim.spec,
        sources=sim.sources,
        run_tasks=run_tasks,
        meter=meter,
    )


def publish_whole(store: Path, sim: SimulatedTakes) -> Digests:
    """Publish our way and return the digests of the arrays' chunks."""
    shutil.rmtree(store, ignore_errors=True)
    published = publish(store, sim, run_tasks=run_here)
    group = store / version_path(published.version, "arrays.zarr")
    return _chunk_digests(group)


def publish_by_segment(store: Path, sim: SimulatedTakes) -> Digests:
    """Write the same arrays one segment after the other and return the digests of their chunks."""
    shutil.rmtree(store, ignore_errors=True)
    store.mkdir(parents=True)
    parts = PartStore(sim.config.parts_root)
    rows = [
        (take, assemble_take(take, parts=parts, config=sim.config, encoder=sim.spec).table)
        for take in sim.takes
    ]
    spec = array_spec(sim.config)
    group = store / "arrays.zarr"
    create_arrays(group, spec=spec, encoder=sim.spec, rows=sum(len(table) for _, table in rows))
    held: dict[str, list[npt.NDArray[Any]]] = {
        name: [] for name in array_layout(spec, encoder=sim.spec)
    }
    for take, table in rows:
        if take.imu_key is None or take.frames_key is None or take.text_key is None:
            raise ValueError("a simulated take has three parts")
        imu = parts.read_table("imu", take.imu_key)
        values = np.stack([imu[name].to_numpy() for name in IMU_CHANNELS])
        imu_ns = imu["t_ns"].to_numpy()
        frames = parts.read_table("frames", take.frames_key)
        frames_ns = frames["t_ns"].to_numpy()
        flat = frames["embedding"].combine_chunks().flatten().to_numpy()
        embeddings = flat.reshape(-1, sim.spec.video_dim)
        text = parts.read_table("text", take.text_key)
        vectors = dict(
            zip(
                text["text_sha256"].to_pylist(),
                text["embedding"].combine_chunks().flatten().to_numpy().reshape(len(text), -1),
                strict=True,
            )
        )
        for row in table.to_pylist():
            first = int(np.searchsorted(imu_ns, row["start_ns"] + row["imu_correction_ns"]))
            held["imu"].append(values[:, first : first + spec.samples])
            inside = (frames_ns >= row["start_ns"]) & (frames_ns < row["end_ns"])
            mean = embeddings[inside].sum(axis=0, dtype=np.float64) / inside.sum()
            held["video"].append(_unit(mean))
            held["text"].append(_unit(vectors[sha256_hex(row["text"].encode())]))
            held["valid"].append(np.array([row["has_imu"], row["has_video"], row["has_text"]]))
    for name, several in held.items():
        zarr.open_array(group / name, mode="r+")[:] = np.stack(several)
    return _chunk_digests(group)


def _chunk_digests(group: Path) -> Digests:
    files = [p for p in sorted(group.rglob("c/**/*")) if p.is_file()]
    return {p.relative_to(group).as_posix(): file_sha256(p) for p in files}


def _unit(vector: npt.NDArray[Any]) -> npt.NDArray[np.float16]:
    whole = vector.astype(np.float64)
    unit: npt.NDArray[np.float16] = (whole * (1 / np.linalg.norm(whole[None], axis=1))).astype(
        np.float16
    )
    return unit


def compare(folder: Path, *, segments: int, dim: int, repeats: int) -> Case:
    """Time both ways on a few takes."""
    sim = write_simulated_parts(folder / "store", segments=segments, dim=dim, seed=SEED)
    measured = measure_cpu(
        {
            "ours": partial(publish_whole, folder / "ours", sim),
            "per_segment": partial(publish_by_segment, folder / "per_segment", sim),
        },
        repeats=repeats,
        per=segments,
    )
    ours, other = measured.answers["ours"], measured.answers["per_segment"]
    return Case(
        name=f"{segments}_segments",
        unit="ms_per_segment",
        runs=measured.wall,
        cpu=measured.cpu,
        agreement={
            "takes": len(sim.takes),
            "chunk_files": len(ours),
            "same_bytes": float(ours == other),
        },
    )


def simulate(folder: Path, *, segments: int, dim: int, workers: int) -> Case:
    """Publish and verify ``segments`` segments once; report stages, memory and limits.

    The parts are made by another process, so that this one's peak is the publisher's.
    """
    store = folder / "store"
    command = [sys.executable, __file__, "--make", str(store)]
    subprocess.run([*command, f"--segments={segments}", f"--dim={dim}"], check=True)
    sim = write_simulated_parts(store, segments=segments, dim=dim, seed=SEED, make=False)
    # On their way to disk still, they would be in the way of what is measured.
    os.sync()
    meter = WorkMeter()
    began, cpu_began = time.perf_counter(), _cpu_s()
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:

        def on_processes(function: Callable[[Job], Job], jobs: Sequence[Job]) -> Iterator[Job]:
            return pool.map(function, jobs)

        run_tasks: TaskMap = on_processes if workers > 1 else run_here
        published = publish(store, sim, run_tasks=run_tasks, meter=meter)
    publish_s = time.perf_counter() - began
    problems = verify_version(store, published.version)
    both_s = time.perf_counter() - began
    work = meter.work()
    seconds = {"publish": publish_s, "verify": both_s - publish_s, "both": both_s}
    seconds |= {f"workers_{stage}": done.seconds for stage, done in work.items()}
    return Case(
        name=f"simulation_of_{segments}",
        unit="s",
        runs={name: [spent] for name, spent in seconds.items()},
        agreement={
            "takes": len(sim.takes),
            "hours": sim.seconds / 3600,
            "stored": published.counts.stored,
            "problems": len(problems),
            "workers": workers,
            "cpu_s": _cpu_s() - cpu_began,
            "peak_gb_driver": _peak_gb(resource.RUSAGE_SELF),
            "peak_gb_worker": _peak_gb(resource.RUSAGE_CHILDREN),
            "parts_gb": _folder_gb(sim.config.parts_root),
            "version_gb": _folder_gb(store / version_path(published.version)),
            **_limits(folder),
        },
    )


def _cpu_s() -> float:
    who = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return sum(r.ru_utime + r.ru_stime for r in map(resource.getrusage, who))


def _peak_gb(who: int) -> float:
    # Of the children, the largest; the one that made the parts is among them, and smaller.
    return resource.getrusage(who).ru_maxrss * 1024 / 1e9


def _folder_gb(folder: Path) -> float:
    return sum(p.stat().st_size for p in folder.rglob("*") if p.is_file()) / 1e9


def _limits(folder: Path) -> dict[str, float]:
    """Return what this machine does at best in GB/s: hash on one core, and write to the disk."""
    block = np.random.default_rng(SEED).bytes(_PROBE_BYTES)
    began = time.perf_counter()
    sha256(block).digest()
    hashed_s = time.perf_counter() - began
    path = folder / "probe"
    began = time.perf_counter()
    with path.open("wb") as file:
        file.write(block)
        file.flush()
        os.fsync(file.fileno())
    written_s = time.perf_counter() - began
    path.unlink()
    size = len(block) / 1e9
    return {"limit_sha256_gb_s": size / hashed_s, "limit_write_gb_s": size / written_s}


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    """Run the benchmark."""
    parser = make_parser(__doc__, repeats=3)
    parser.add_argument("--segments", type=int, default=SEGMENTS, help="of the simulation")
    parser.add_argument("--dim", type=int, default=DIM, help="values an embedding")
    parser.add_argument("--workers", type=int, default=2, help="processes of the simulation")
    parser.add_argument("--only", choices=["compare", "simulate"], help="one case alone")
    parser.add_argument("--folder", type=Path, help="where data goes, and is removed again")
    parser.add_argument("--make", type=Path, help="only make the simulation's parts in this store")
    args = parser.parse_args(argv)
    if args.make is not None:
        write_simulated_parts(args.make, segments=args.segments, dim=args.dim, seed=SEED)
        return {}
    repeats = 1 if args.quick else args.repeats
    compared = 100 if args.quick else 4000
    cases = []
    if args.only != "simulate":
        with tempfile.TemporaryDirectory(dir=args.folder) as folder:
            cases.append(compare(Path(folder), segments=compared, dim=args.dim, repeats=repeats))
    if args.only != "compare" and not args.quick:
        with tempfile.TemporaryDirectory(dir=args.folder) as folder:
            found = simulate(
                Path(folder), segments=args.segments, dim=args.dim, workers=args.workers
            )
            cases.append(found)
    settings = {"segments": args.segments, "dim": args.dim, "workers": args.workers}
    return report("publish", cases=cases, quick=args.quick, settings=settings)


if __name__ == "__main__":
    main()
