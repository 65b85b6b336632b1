"""The sync audit's cost: a take made into its parts with and without it.

Both ways do all that a worker does for one synthetic Ego-Exo4D take: resample the IMU, decode the
448-px picture once at 10 Hz, embed its frames, embed its sentences. ``ours`` also measures the
picture's motion on small grey copies in the same pass, and the lags from it. The encoder, which the
audit does not touch, is ViT-B/32 in its real size on the CPU in the one case; in the other it is
tiny, so that what the audit adds stands against little more than the decoding: the worst case.
"""

import shutil
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import polars as pl
from side_by_side import Case, make_parser, measure, report

from pipelines.config import PrepConfig, load_config
from pipelines.encoders.make_encoder import Preset, make_encoder
from pipelines.encoders.registry import open_encoder
from pipelines.parts.store import PartStore
from pipelines.prepare import TakeOutcome, prepare_batch
from pipelines.stores.sync_record import find_sync_audit
from pipelines.synthetic.egoexo4d import write_egoexo4d
from schemas.time import NS_PER_MS

__all__ = ["main"]

SEED: Final = 0


def prepare(config: PrepConfig, take_uid: str) -> TakeOutcome:
    """Make the take's parts from nothing."""
    shutil.rmtree(config.parts_root, ignore_errors=True)
    encoder = open_encoder(config.encoder)
    if encoder is None:
        raise ValueError("the benchmark needs an encoder")
    batch = prepare_batch(config, [take_uid], encoder_spec=encoder.spec, run="bench")
    (outcome,) = batch
    if outcome.status != "ready":
        raise ValueError(f"the take must be ready, got {outcome.reason}: {outcome.detail}")
    return outcome


def compare(folder: Path, *, preset: Preset, seconds: int, repeats: int) -> Case:
    """Time a take with and without the audit, and look at what was measured."""
    root = folder / "dataset"
    write_egoexo4d(root, takes=1, seconds=seconds, seed=SEED, participants=1)
    make_encoder(folder / "encoder", preset=preset, seed=SEED)
    configs = {
        name: load_config(
            None,
            overrides={
                "dataset.name": "egoexo4d",
                "dataset.root": str(root),
                "encoder.name": str(folder / "encoder"),
                "store.uri": str(folder / name),
                "segments.policy": "stride",
                "audit.enabled": name == "ours",
            },
        )
        for name in ("without", "ours")
    }
    (take_uid,) = pl.read_json(root / "takes.json")["take_uid"]
    runs, answers = measure(
        {name: partial(prepare, config, take_uid) for name, config in configs.items()},
        repeats=repeats,
        per=seconds,
    )
    keys = answers["ours"].keys
    parts = PartStore(configs["ours"].parts_root)
    audit = find_sync_audit(
        parts, imu_key=keys["imu"], frames_key=keys["frames"], config=configs["ours"].audit
    )
    agreement = {
        "take_lag_ms": (audit.lag_ns or 0) / NS_PER_MS,
        "take_lag_told": float(audit.lag_ns is not None),
        "take_lag_r2": audit.r2,
        "same_imu_part": float(keys["imu"] == answers["without"].keys["imu"]),
    }
    return Case(
        name=f"one_take_{preset.replace('-', '_')}",
        unit="ms_per_second",
        runs=runs,
        agreement=agreement,
    )


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    """Run the benchmark."""
    parser = make_parser(__doc__, repeats=5)
    parser.add_argument("--seconds", type=int, default=60, help="length of the take")
    args = parser.parse_args(argv)
    seconds, repeats = (8, 1) if args.quick else (args.seconds, args.repeats)
    sizes: dict[Preset, int] = {"tiny": seconds}
    if not args.quick:
        sizes["vit-b-32"] = min(seconds, 12)
    cases = []
    for preset, length in sizes.items():
        with tempfile.TemporaryDirectory() as folder:
            cases.append(compare(Path(folder), preset=preset, seconds=length, repeats=repeats))
    return report("audit", cases=cases, quick=args.quick, settings={"seconds": seconds})


if __name__ == "__main__":
    main()
