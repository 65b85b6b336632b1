"""Fuzz one parser: ``python -m tests.fuzz vrs --seconds 600 --corpus DIR``.

The work is done in a child, guided by coverage where atheris is there, by chance alone otherwise;
so a crash of native code, a hang and too much memory are findings like any other. The input found
is kept under the name that is told; give it with ``--replay`` to see its traceback. One line of
JSON says how it went; the exit code is 1 after a finding.
"""

import argparse
import faulthandler
import json
import random
import re
import resource
import subprocess
import sys
import tempfile
import time
import warnings
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tests.fuzz.spoil import spoil
from tests.fuzz.target import SLOWEST_S, Target, check_input
from tests.memory_peak import peak_mib

MOST_MIB = 1024
_LAST = "last-input"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("target", help="vrs, gpmf, mp4, ...; `list` names all")
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--corpus", type=Path, help="folder of inputs, kept; default a passing one")
    parser.add_argument("--engine", choices=["auto", "atheris", "random"], default="auto")
    parser.add_argument("--replay", type=Path, help="parse this input once, and nothing else")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.engine == "auto":
        given.engine = "atheris" if find_spec("atheris") else "random"
    if given.child:
        return _child(given)
    if given.target == "list" or given.replay:
        return _replay(given)
    if given.corpus is not None:
        given.corpus.mkdir(parents=True, exist_ok=True)
        return _watch(given, corpus=given.corpus)
    with tempfile.TemporaryDirectory() as folder:
        return _watch(given, corpus=Path(folder))


def _replay(given: argparse.Namespace) -> int:
    from tests.fuzz.targets import BINARY, MODEL, TEXT, find_target

    if given.target == "list":
        print("\n".join((*BINARY, *TEXT, *MODEL)))
        return 0
    target = find_target(given.target)
    with tempfile.TemporaryDirectory() as folder:
        print(check_input(target, given.replay.read_bytes(), folder=Path(folder)))
    return 0


def _watch(given: argparse.Namespace, *, corpus: Path) -> int:
    command = [sys.executable, "-m", "tests.fuzz", given.target, "--child"]
    command += ["--seconds", str(given.seconds), "--seed", str(given.seed)]
    command += ["--corpus", str(corpus), "--engine", given.engine]
    began = time.monotonic()
    # Importing, and the slowest input at the end.
    done = subprocess.run(
        command,
        check=False,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=given.seconds * 2 + 120,
    )
    report: dict[str, Any] = {
        "target": given.target,
        "engine": given.engine,
        "seconds": round(time.monotonic() - began, 1),
        **_figures(done.stdout + done.stderr),
    }
    if done.returncode:
        report["finding"] = (done.stderr + done.stdout)[-6000:]
        report["exit_code"] = done.returncode
        found = _found(corpus).read_bytes()
        kept = Path(tempfile.gettempdir()) / f"fuzz-{given.target}-{sha256(found).hexdigest()[:8]}"
        kept.write_bytes(found)
        report["input"] = str(kept)
    print(json.dumps(report))
    return 1 if done.returncode else 0


def _figures(said: str) -> dict[str, Any]:
    """Return what a child told at its end, by our own line or by libFuzzer's."""
    figures: dict[str, Any] = {}
    for line in said.splitlines():
        if line.startswith('{"runs"'):
            figures.update(json.loads(line))
        if found := re.match(r"stat::(number_of_executed_units|peak_rss_mb):\s+(\d+)", line):
            name = {"number_of_executed_units": "runs", "peak_rss_mb": "peak_mib"}[found[1]]
            figures[name] = int(found[2])
        if found := re.search(r" cov: (\d+) ", line):
            figures["coverage"] = int(found[1])
    return figures


def _found(corpus: Path) -> Path:
    crashes = [*corpus.glob("crash-*"), *corpus.glob("timeout-*"), *corpus.glob("oom-*")]
    return max(crashes, key=lambda path: path.stat().st_mtime, default=corpus / _LAST)


def _child(given: argparse.Namespace) -> int:
    from tests.fuzz.targets import find_target

    if given.engine == "atheris":
        import atheris

        with atheris.instrument_imports(include=["pipelines", "schemas", "primus_train"]):
            target = find_target(given.target)
    else:
        target = find_target(given.target)
    # numpy warns of a number that fits no type, and goes on with another one.
    warnings.simplefilter("error", RuntimeWarning)
    originals = list(target.originals())
    shared = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=shared if shared.is_dir() else None) as name:
        folder = Path(name)
        for data in originals:
            check_input(target, data, folder=folder)
        _limit_memory()
        if given.engine == "random":
            return _by_chance(given, target=target, originals=originals, folder=folder)
        for i, data in enumerate(originals):
            (given.corpus / f"original-{i}").write_bytes(data)

        def one(data: bytes) -> None:
            check_input(target, data, folder=folder)

        def mutate(data: bytes, max_size: int, seed: int) -> bytes:
            if seed % 3 == 0:
                return bytes(atheris.Mutate(data, max_size))
            chance = random.Random(seed)
            return spoil(data, choose=chance.randrange, donors=originals, text=target.text)[
                :max_size
            ]

        options = [
            f"-max_total_time={given.seconds:.0f}",
            f"-timeout={SLOWEST_S:.0f}",
            f"-rss_limit_mb={MOST_MIB}",
            f"-seed={given.seed + 1}",
            f"-max_len={max(map(len, originals)) * 2}",
            f"-artifact_prefix={given.corpus}/",
            "-print_final_stats=1",
        ]
        atheris.Setup([sys.argv[0], *options, str(given.corpus)], one, custom_mutator=mutate)
        atheris.Fuzz()
    return 0


def _limit_memory() -> None:
    """Let no input have more than ``MOST_MIB`` beside what the libraries take."""
    with Path("/proc/self/statm").open() as file:
        now = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now + (MOST_MIB << 20), resource.RLIM_INFINITY))


def _by_chance(
    given: argparse.Namespace, *, target: Target, originals: list[bytes], folder: Path
) -> int:
    chance = random.Random(given.seed)
    outcomes: dict[str, int] = {}
    last = given.corpus / _LAST
    runs, slowest_s, began = 0, 0.0, time.monotonic()
    now = watched = began
    with last.open("wb") as note:
        while now - began < given.seconds:
            donor = originals[chance.randrange(len(originals))]
            data = spoil(donor, choose=chance.randrange, donors=originals, text=target.text)
            # Before it is parsed: what ends the process, or hangs in native code, is found here.
            note.seek(0)
            note.truncate()
            note.write(data)
            note.flush()
            if now >= watched:
                watched = now + SLOWEST_S
                # By the clock; one input's time is the processor's, which others share.
                faulthandler.dump_traceback_later(SLOWEST_S * 4, exit=True)
            before_s = time.process_time()
            outcome = check_input(target, data, folder=folder)
            took_s = time.process_time() - before_s
            outcomes[outcome] = outcomes.get(outcome, 0) + 1
            slowest_s = max(slowest_s, took_s)
            if took_s > SLOWEST_S:
                raise TimeoutError(f"an input took {took_s:.1f} s")
            runs, now = runs + 1, time.monotonic()
    faulthandler.cancel_dump_traceback_later()
    peak = int(peak_mib())
    if peak > MOST_MIB:
        raise MemoryError(f"took {peak} MiB")
    print(json.dumps({"runs": runs, "peak_mib": peak, "slowest_s": round(slowest_s, 2),
                      "outcomes": dict(sorted(outcomes.items()))}))  # fmt: skip
    return 0


if __name__ == "__main__":
    sys.exit(main())
