"""The same run by every executor: the same objects, and the seconds each takes for them.

Each way is a program of its own, started as a user would start it, into a store of its own. What
``objects`` tells is a digest of the names, sizes and SHA-256 of all of the version's objects,
computed from the files: one digest means the same bytes everywhere. ``address`` are a scheduler
and two workers that were started apart; their start is not counted, as they outlive a run.
"""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from side_by_side import Case, make_parser, report

from pipelines.encoders.make_encoder import make_encoder
from pipelines.synthetic.egoexo4d import write_egoexo4d

__all__ = ["main"]

ROOT: Final = Path(__file__).resolve().parents[1]
WAYS: Final = {
    "inline": ("--executor", "inline"),
    "one_thread": ("--executor", "threads", "--workers", "1"),
    "four_threads": ("--executor", "threads", "--workers", "4"),
    "one_process": ("--executor", "dask", "--workers", "1"),
    "two_processes": ("--executor", "dask", "--workers", "2"),
    "dask_threads": (
        *("--executor", "dask", "--workers", "2"),
        *("--set", "execution.dask_processes=false"),
    ),
    "address": ("--executor", "dask"),
}
START_S: Final = 300.0


@contextmanager
def dask_elsewhere(folder: Path, *, workers: int) -> Iterator[str]:
    """Yield the address of a scheduler with workers of one thread, programs of their own."""
    folder.mkdir()
    running: list[subprocess.Popen[bytes]] = []

    def start(program: str, *options: str) -> None:
        running.append(
            subprocess.Popen(
                [sys.executable, "-m", f"distributed.cli.{program}", *options, "--no-dashboard"],
                cwd=folder,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
                start_new_session=True,
            )
        )

    try:
        listens = ("--host", "127.0.0.1", "--port", "0", "--scheduler-file", "scheduler.json")
        start("dask_scheduler", *listens)
        found = read_address(folder / "scheduler.json")
        for _ in range(workers):
            start("dask_worker", found, "--nthreads", "1", "--no-nanny", "--memory-limit", "0")
        yield found
    finally:
        for process in running:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def read_address(path: Path) -> str:
    """Return the address in the file that a scheduler writes once it listens."""
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        # Not there yet, or not yet whole.
        with suppress(FileNotFoundError, json.JSONDecodeError):
            address: str = json.loads(path.read_text())["address"]
            return address
        time.sleep(0.05)
    raise RuntimeError(f"a scheduler must listen, none did for {START_S} s")


def run_program(options: Sequence[str], *, root: Path, encoder: Path, work: Path) -> dict[str, Any]:
    """Run primus-prep into a new store; return its report, wall seconds and objects' digest."""
    store = work / "store"
    command = [
        *(sys.executable, "-m", "flows.cli", "run", "--dataset", "egoexo4d", "--root", str(root)),
        *("--encoder", str(encoder), "--store", str(store), "--json", *options),
        *("--set", "encoder.precision=float32", "--set", "splits.shares=[0.5, 0.0, 0.5]"),
    ]
    environment = {
        **os.environ,
        "PREFECT_HOME": str(work / "prefect"),
        "PYTHONPATH": str(ROOT),
    }
    environment.pop("PREFECT_API_URL", None)
    began = time.perf_counter()
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    wall = time.perf_counter() - began
    if done.returncode:
        raise RuntimeError(f"primus-prep must end with 0, got {done.returncode}: {done.stderr}")
    found: dict[str, Any] = json.loads(done.stdout)
    digest, count = digest_objects(store / "versions" / found["version"])
    shutil.rmtree(store)
    return found | {"wall": wall, "objects": digest, "object_count": count}


def digest_objects(version: Path) -> tuple[str, int]:
    """Return a digest of all files of a version but the record of the run, and their number."""
    digest, count = hashlib.sha256(), 0
    for path in sorted(p for p in version.rglob("*") if p.is_file() and p.name != "run.json"):
        with path.open("rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
        name = path.relative_to(version).as_posix()
        digest.update(f"{name} {path.stat().st_size} {content}\n".encode())
        count += 1
    return digest.hexdigest(), count


def compare(root: Path, *, encoder: Path, work: Path, repeats: int) -> tuple[Case, dict[str, str]]:
    """Run every way ``repeats`` times in turn; return the times and each way's digest."""
    found: dict[str, list[dict[str, Any]]] = {way: [] for way in WAYS}
    names = list(WAYS)
    for number in range(repeats):
        for way in names[number % len(names) :] + names[: number % len(names)]:
            options = WAYS[way]
            if way == "address":
                with dask_elsewhere(work / f"dask{number}", workers=2) as address:
                    options = (*options, "--dask-address", address)
                    run = run_program(options, root=root, encoder=encoder, work=work)
            else:
                run = run_program(options, root=root, encoder=encoder, work=work)
            found[way].append(run)
    runs = [run for some in found.values() for run in some]
    digests = {way: ", ".join(sorted({run["objects"] for run in found[way]})) for way in WAYS}
    case = Case(
        name="run",
        unit="s",
        runs={way: [run["wall"] for run in some] for way, some in found.items()},
        agreement={
            "versions": len({run["version"] for run in runs}),
            "digests_of_objects": len({run["objects"] for run in runs}),
            "objects": runs[0]["object_count"],
            "stored": runs[0]["stored"],
        },
    )
    return case, digests


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    """Write the takes, run them every way, print what came of it and return it."""
    parser = make_parser(__doc__, repeats=3)
    parser.add_argument("--takes", type=int, default=24, help="(default %(default)s)")
    parser.add_argument(
        "--seconds", type=float, default=40.0, help="length of a take (default %(default)s)"
    )
    args = parser.parse_args(argv)
    takes, seconds, repeats = args.takes, args.seconds, args.repeats
    if args.quick:
        takes, seconds, repeats = 3, 8.0, 1
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        root, encoder = work / "data", work / "encoder"
        write_egoexo4d(root, takes=takes, seconds=seconds, seed=0, participants=2, workers=2)
        make_encoder(encoder, preset="tiny", seed=0)
        case, digests = compare(root, encoder=encoder, work=work, repeats=repeats)
    for way, digest in digests.items():
        print(f"  {way:<18}{digest}", file=sys.stderr)
    return report(
        "executors",
        cases=[case],
        quick=args.quick,
        settings={"takes": takes, "seconds": seconds, "repeats": repeats, "objects": digests},
    )


if __name__ == "__main__":
    main()
