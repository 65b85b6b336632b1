"""The whole road on synthetic data, offline: from recordings to the studies' figures."""

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
from pipelines.storage.files import write_atomic
from pipelines.stores.verify import verify_version
from pipelines.synthetic.egoexo4d import write_egoexo4d
from pipelines.synthetic.plan import SYNTHETIC_VERSION
from schemas.errors import PrimusError, StoreDamagedError
from schemas.store import canonical_json

__all__ = ["FIT_SETTINGS", "run_demo"]

_PARTICIPANTS = 4
# Half of the participants train; the gallery is everything of the other half.
_SHARES = (0.5, 0.25, 0.25)
_SHOTS = "1,5,10,20"
_TRIALS = 10
# The paper's rate is for a quarter of a million segments; a few hundred need a higher one.
FIT_SETTINGS = ("epochs=20", "optim.learning_rate=0.001")
# Ten encoders in under a minute: one epoch each, of small batches, so that there are some steps.
_STUDY_SETTINGS = ("epochs=1", "data.batch_size=16", "optim.learning_rate=0.001")
_STUDY_TRIALS = 3
_SHARE = 0.25
# What training from scratch may cost: a few steps from each draw of shots.
_SCRATCH_STEPS = 5
_STUDIES = ("baselines", "ablation", "data-efficiency")


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
        say(stage, began, again=_was_there(results[stage]))

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
    recipe = {
        "synthetic": SYNTHETIC_VERSION,
        "takes": takes,
        "seconds": seconds,
        "seed": seed,
        "participants": _PARTICIPANTS,
    }
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
            "masks": [{"name": "quarter", "keep": _SHARE}],
            "execution.executor": "threads",
            "execution.workers": 2,
            "execution.batch_takes": 2,
        },
    )


def _training_stages(out: Path, *, ref: str, seed: int) -> list[tuple[str, list[str]]]:
    run = str(out / "fit")
    # The last weights, not those that did best on val: val participants are in the gallery.
    weights = str(out / "fit" / "last.pt")
    store = ["--store", ref]
    settings = [word for setting in FIT_SETTINGS for word in ("--set", setting)]
    shots = ["--shots", _SHOTS, "--trials", str(_TRIALS)]

    def probe(name: str, *flags: str) -> list[str]:
        return ["probe", "--checkpoint", weights, *flags, *store, *shots, "--out", str(out / name)]

    # The three figures; what they share is made once.
    study = ["study", *_STUDIES, *store, "--shots", "1,10", "--trials", str(_STUDY_TRIALS)]
    study += ["--shares", f"{_SHARE},1", "--out", str(out / "studies"), "--jobs", "2"]
    for setting in (*_STUDY_SETTINGS, f"seed={seed}"):
        study += ["--set", setting]
    steps = (f"min_steps={_SCRATCH_STEPS}", f"epochs={_SCRATCH_STEPS}")
    for setting in (*steps, "learning_rate=0.001"):
        study += ["--probe", setting]

    retrieve = ["--splits", "val,test", "--out", str(out / "retrieve")]
    return [
        ("fit", ["fit", *store, "--seed", str(seed), *settings, "--out", run, "--overwrite"]),
        ("retrieve", ["retrieve", "--checkpoint", weights, *store, *retrieve, "--overwrite"]),
        ("probe", [*probe("probe"), "--overwrite"]),
        ("probe untrained", [*probe("probe-untrained", "--untrained"), "--overwrite"]),
        ("studies", study),
    ]


def _was_there(result: Mapping[str, Any]) -> bool:
    """Whether a stage made nothing new."""
    if "studies" not in result:
        return bool(result.get("reused"))
    made = [study[kind] for study in result["studies"].values() for kind in ("runs", "probes")]
    return not any(counts["computed"] for counts in made)


def _run_trainer(arguments: Sequence[str]) -> dict[str, Any]:
    # A program of its own: the trainer shares nothing with this one but the store.
    command = [sys.executable, "-m", "primus_train.cli", *arguments, "--json"]
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=_shown_stderr(), text=True, check=False
    )
    if done.returncode:
        raise PrimusError(
            f"primus-train {arguments[0]} must end with exit code 0, got {done.returncode}; "
            f"its own words stand above"
        )
    parsed: dict[str, Any] = json.loads(done.stdout)
    return parsed


def _shown_stderr() -> int | None:
    # Python's stderr may have moved off descriptor 2 (see ``chatter``), or have none.
    try:
        return sys.stderr.fileno()
    except OSError:
        return None


def _make_report(
    summary: RunSummary,
    results: Mapping[str, Any],
    *,
    spent: Mapping[str, float],
    reused: Mapping[str, bool],
) -> dict[str, Any]:
    found = results["retrieve"]["imu_to_video"]
    return {
        "version": summary.version,
        "segments": {
            "planned": summary.planned,
            "stored": summary.stored,
            "dropped": summary.dropped,
            "quarantined": summary.quarantined,
        },
        "takes": {"computed": summary.computed_takes, "reused": summary.reused_takes},
        "retrieval": {
            "gallery": found["n"],
            "r_at_1": found["r_at_1"],
            "chance": found["chance"],
        },
        "probe": {
            name: [
                {key: row[key] for key in ("shots", "trials", "n", "accuracy", "accuracy_se")}
                for row in results[stage]["rows"]
            ]
            for name, stage in (("pretrained", "probe"), ("untrained", "probe untrained"))
        },
        "studies": {
            name: {key: found[key] for key in ("points", "failed", "files")}
            for name, found in results["studies"]["studies"].items()
        },
        "seconds": {stage: round(s, 1) for stage, s in spent.items()},
        "reused": dict(reused),
    }


def _table(report: Mapping[str, Any]) -> str:
    segments, found = report["segments"], report["retrieval"]
    lost = sum(segments["dropped"].values())
    bad = sum(segments["quarantined"].values())
    rows: list[tuple[str, str]] = [
        ("store version", report["version"]),
        ("segments stored", f"{segments['stored']} of {segments['planned']} planned"),
        ("segments dropped, quarantined", f"{lost}, {bad}"),
        (
            "IMU-to-video R@1",
            f"{found['r_at_1']:.1%} of {found['gallery']} held-out segments, "
            f"chance {found['chance']:.1%} ({found['r_at_1'] / found['chance']:.1f}x)",
        ),
    ]
    for trained, plain in zip(
        report["probe"]["pretrained"], report["probe"]["untrained"], strict=True
    ):
        rows.append(
            (
                f"probe, {trained['shots']} shots a class",
                f"{_share(trained)} pretrained, {_share(plain)} untrained",
            )
        )
    for stage, seconds in report["seconds"].items():
        again = " (reused)" if report["reused"][stage] else ""
        rows.append((f"seconds: {stage}", f"{seconds:.1f}{again}"))
    rows.append(("seconds in all", f"{sum(report['seconds'].values()):.1f}"))
    rows += [("picture", path) for path in report["pictures"]]
    for number, (name, study) in enumerate(report["studies"].items(), start=4):
        (picture,) = [path for path in study["files"] if path.endswith(".png")]
        rows.append((f"figure {number}, {name}", picture))
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name:<{width}}  {value}" for name, value in rows)


def _share(row: Mapping[str, Any]) -> str:
    if row["accuracy"] is None:
        return "n/a"
    return f"{row['accuracy']:.1%} +-{row['accuracy_se']:.1%}"
