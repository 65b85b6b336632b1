"""The whole road on synthetic data, offline: synth, run, verify, fit, probe, retrieve, pictures."""

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from flows.prepare import RunSummary, prepare
from flows.progress import Progress
from pipelines.config import PrepConfig, load_config
from pipelines.encoders.make_encoder import make_encoder
from pipelines.parts.store import PartStore
from pipelines.report.figures import write_demo_figures
from pipelines.report.html import write_report
from pipelines.stores.files import write_atomic
from pipelines.stores.verify import verify_version
from pipelines.synthetic.egoexo4d import write_egoexo4d
from schemas.errors import PrimusError, StoreDamagedError
from schemas.store import canonical_json

__all__ = ["run_demo"]

_PARTICIPANTS = 4
# Half of the participants train; the gallery is everything of the other half.
_SHARES = (0.5, 0.25, 0.25)
_SHOTS = "1,5,10,20"
_TRIALS = 10


def run_demo(out: Path, *, takes: int, seconds: float, seed: int) -> tuple[dict[str, Any], str]:
    """Run every stage into ``out`` and return its report as JSON values and as a table.

    Whatever an earlier call left is reused where it is keyed alike; the report says which.

    Raises:
        PrimusError: if a stage fails; the sentence names it.
    """
    out.mkdir(parents=True, exist_ok=True)
    spent: dict[str, float] = {}
    reused: dict[str, bool] = {}

    def say(stage: str, began: float, *, again: bool) -> None:
        spent[stage] = time.perf_counter() - began
        reused[stage] = again
        word = "reused" if again else "done"
        sys.stderr.write(f"[{stage}] {word} in {spent[stage]:.1f} s\n")
        sys.stderr.flush()

    began = time.perf_counter()
    say("synth", began, again=_make_dataset(out, takes=takes, seconds=seconds, seed=seed))

    began = time.perf_counter()
    encoder = out / "encoder"
    known = (encoder / "config.json").exists()
    if not known:
        make_encoder(encoder, preset="tiny", seed=seed)
    config = _make_config(out)
    summary = prepare(config)
    say("run", began, again=summary.computed_takes == 0)

    began = time.perf_counter()
    store = Path(config.store.uri)
    if problems := verify_version(store, summary.version):
        raise StoreDamagedError(f"{problems[0].loc}: {problems[0].message}")
    say("verify", began, again=False)

    ref = f"{store}@{summary.version}"
    results: dict[str, Any] = {}
    for stage, arguments in _training_stages(out, ref=ref, seed=seed):
        began = time.perf_counter()
        results[stage] = _run_trainer(arguments)
        say(stage, began, again=bool(results[stage].get("reused")))

    began = time.perf_counter()
    page = out / "report.html"
    write_report(store, version=summary.version, parts_root=config.parts_root, out=page)
    figures = write_demo_figures(
        store, version=summary.version, parts=PartStore(config.parts_root), out=out / "figures"
    )
    say("pictures", began, again=False)

    report = _make_report(summary, results, spent=spent, reused=reused)
    report["pictures"] = [str(page), *map(str, figures)]
    write_atomic(out / "demo.json", json.dumps(report, indent=1).encode())
    return report, _table(report)


def _make_dataset(out: Path, *, takes: int, seconds: float, seed: int) -> bool:
    recipe = {"takes": takes, "seconds": seconds, "seed": seed, "participants": _PARTICIPANTS}
    root, stamp = out / "dataset", out / "dataset.json"
    if stamp.exists() and stamp.read_bytes() == canonical_json(recipe) and root.is_dir():
        return True
    shutil.rmtree(root, ignore_errors=True)
    with Progress("synth", total=takes, unit="takes") as progress:
        write_egoexo4d(
            root,
            takes=takes,
            seconds=seconds,
            seed=seed,
            participants=_PARTICIPANTS,
            workers=2,
            progress=lambda done, _total: progress.to(done),
        )
    write_atomic(stamp, canonical_json(recipe))
    return False


def _make_config(out: Path) -> PrepConfig:
    return load_config(
        None,
        overrides={
            "dataset.name": "egoexo4d",
            "dataset.root": str(out / "dataset"),
            "store.uri": str(out / "store"),
            "store.tag": "demo",
            "encoder.name": str(out / "encoder"),
            "splits.shares": _SHARES,
            "execution.executor": "threads",
            "execution.workers": 2,
            "execution.batch_takes": 2,
        },
    )


def _training_stages(out: Path, *, ref: str, seed: int) -> list[tuple[str, list[str]]]:
    run = str(out / "fit")
    probe = ["--store", ref, "--shots", _SHOTS, "--trials", str(_TRIALS)]
    return [
        (
            "fit",
            ["fit", "--store", ref, "--objective", "primus", "--seed", str(seed), "--out", run],
        ),
        (
            "retrieve",
            [
                "retrieve",
                "--checkpoint",
                run,
                "--store",
                ref,
                "--splits",
                "val,test",
                "--out",
                str(out / "retrieve"),
            ],
        ),
        ("probe", ["probe", "--checkpoint", run, *probe, "--out", str(out / "probe")]),
        (
            "probe-untrained",
            [
                "probe",
                "--checkpoint",
                run,
                "--untrained",
                *probe,
                "--out",
                str(out / "probe-untrained"),
            ],
        ),
    ]


def _run_trainer(arguments: Sequence[str]) -> dict[str, Any]:
    # A program of its own: the trainer shares nothing with this one but the store.
    command = [sys.executable, "-m", "primus_train.cli", *arguments, "--json"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise PrimusError(f"primus-train {arguments[0]} must end with 0, got {done.returncode}")
    parsed: dict[str, Any] = json.loads(done.stdout)
    return parsed


def _make_report(
    summary: RunSummary,
    results: Mapping[str, Any],
    *,
    spent: Mapping[str, float],
    reused: Mapping[str, bool],
) -> dict[str, Any]:
    return {
        "version": summary.version,
        "segments": {
            "planned": summary.planned,
            "stored": summary.stored,
            "dropped": summary.dropped,
            "quarantined": summary.quarantined,
        },
        "retrieve": results["retrieve"],
        "probe": results["probe"],
        "probe_untrained": results["probe-untrained"],
        "seconds": {stage: round(s, 1) for stage, s in spent.items()},
        "reused": dict(reused),
    }


def _table(report: Mapping[str, Any]) -> str:
    return json.dumps(report, indent=1)
