"""What whole datasets would take on three clusters, by rates measured on one machine.

The takes are drawn, not read: their number, hours and narrations are the datasets' own, their
lengths lognormal. Rates come from ``primus-prep plan --json`` (its field ``rates``) of a run with
the encoder in question, or from the options; the pricing is the one of ``primus-prep plan``.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from flows.runners import split_batches
from pipelines.pricing.estimate import Cluster, TimePrice, price_time
from pipelines.pricing.rates import Line, Rates
from pipelines.pricing.survey import TakeCount

__all__ = ["DATASETS", "Dataset", "draw_takes", "main", "price_dataset"]

SEED: Final = 0
FRAMES_HZ: Final = 10
IMU_HZ: Final = 50
# Spread of the logarithm of a take's length, as in the narrated takes of Ego-Exo4D.
LENGTH_SPREAD: Final = 0.8


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """A dataset in figures.

    Attributes:
        takes: recordings with an IMU.
        hours: of them in all.
        narrations: of them in all.
        megapixels: of the picture that is decoded.
        video_bytes_s: of that copy of the video.
        imu_bytes_s: of the file that holds the IMU.
    """

    takes: int
    hours: float
    narrations: int
    megapixels: float
    video_bytes_s: float
    imu_bytes_s: float


# Ego-Exo4D v2: its change log. Ego4D: Grauman et al. (CVPR 2022) name 3,670 h, 836 h of them with
# an IMU, and 3.85 million narrations; these are taken to be spread evenly.
DATASETS: Final = {
    "Ego-Exo4D": Dataset(
        takes=5035,
        hours=221.26,
        narrations=432_467,
        megapixels=0.448**2,
        video_bytes_s=140e3,
        imu_bytes_s=1.25e6,
    ),
    "Ego4D": Dataset(
        takes=2000,
        hours=836,
        narrations=877_000,
        megapixels=0.96 * 0.54,
        video_bytes_s=250e3,
        imu_bytes_s=20e3,
    ),
}
CLUSTERS: Final = {
    "2 cores": Cluster(workers=2, cores=2, here=False),
    "16 cores, one GPU": Cluster(workers=8, cores=16, gpus=1, here=False),
    "100 workers of one core": Cluster(workers=100, cores=100, here=False),
}


def draw_takes(dataset: Dataset, *, seed: int) -> list[TakeCount]:
    """Return takes whose numbers add up to those of the dataset."""
    lengths = np.random.default_rng(seed).lognormal(sigma=LENGTH_SPREAD, size=dataset.takes)
    seconds = lengths * (dataset.hours * 3600 / lengths.sum())
    rows = np.diff(np.round(np.cumsum(seconds) / seconds.sum() * dataset.narrations), prepend=0)
    return [
        TakeCount(
            take_uid=f"{i:06d}",
            planned=int(n),
            rows=int(n),
            span_ns=round(s * 1e9),
            frames=round(s * FRAMES_HZ),
            samples=round(s * IMU_HZ),
            sentences=int(n),
            files=3,
            source_bytes=round(s * (dataset.video_bytes_s + dataset.imu_bytes_s)),
            video_bytes=round(s * dataset.video_bytes_s),
            imu_bytes=round(s * dataset.imu_bytes_s),
            # At most 64 MiB whole, else 16 MiB of it, for each of two files.
            fingerprint_bytes=sum(
                round(size if size <= 64 << 20 else 16 << 20)
                for size in (s * dataset.video_bytes_s, s * dataset.imu_bytes_s)
            ),
            kinds=("imu", "frames", "text"),
        )
        for i, (s, n) in enumerate(zip(seconds.tolist(), rows.tolist(), strict=True))
    ]


def make_rates(args: argparse.Namespace, *, megapixels: float, gpu: bool) -> Rates:
    """Return the rates of one worker of one core, and of a GPU where there is one."""
    decode_s = args.decode_base_ms / 1e3 + args.decode_megapixel_ms / 1e3 * megapixels
    encode_s = 1 / args.gpu_frames_s if gpu else args.encode_ms / 1e3
    frame_s = decode_s + args.motion_ms / 1e3
    return Rates(
        stages={
            "take": Line(per_take=args.take_ms / 1e3),
            "fingerprint": Line(per_item=1 / 1.2e9),
            "imu": Line(per_item=args.imu_ms / 1e3 / IMU_HZ),
            "frames": Line(per_item=frame_s + encode_s),
            "frames.decode": Line(per_item=frame_s),
            "frames.encode": Line(per_item=encode_s),
            "text": Line(per_item=1 / args.sentences_s),
            "audit": Line(per_item=args.audit_ms / 1e3),
            "assemble": Line(per_item=args.assemble_ms / 1e3),
            "publish": Line(per_item=args.publish_ms / 1e3),
        },
        cpu={"frames": 1.0, "frames.decode": 1.0},
        fixed={"start": args.start_s, "task": 0.25},
        by_hand=("frames.encode",) if gpu else (),
        storage_bytes_s=args.storage_gb_s * 1e9,
    )


def price_dataset(
    takes: Sequence[TakeCount], *, rates: Rates, cluster: Cluster, size: int = 4
) -> TimePrice:
    """Return what the takes cost on a cluster, in batches as a run makes them."""
    sizes = {take.take_uid: take.source_bytes for take in takes}
    batches = split_batches(sizes, size=size, workers=cluster.workers)
    return price_time(takes, rates=rates, cluster=cluster, batches=batches)


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    """Print a table, and one JSON object to stdout."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    for name, default, what in (
        ("decode-base-ms", 1.0, "a grid frame: processor ms beside what its pixels cost"),
        ("decode-megapixel-ms", 10.0, "a grid frame and megapixel: processor ms"),
        ("motion-ms", 1.0, "a frame: image motion and thumbnail"),
        ("encode-ms", 110.0, "a frame on one core"),
        ("gpu-frames-s", 2000.0, "frames a second on the GPU; an assumption"),
        ("imu-ms", 0.4, "a second of take"),
        ("sentences-s", 40.0, "sentences a second on one core"),
        ("audit-ms", 0.1, "a frame"),
        ("take-ms", 20.0, "a take: clock and plan"),
        ("assemble-ms", 0.4, "a segment, over all workers"),
        ("publish-ms", 0.03, "a segment, in the driver"),
        ("start-s", 25.0, "server, workers and encoder"),
        ("storage-gb-s", 1.0, "what all workers together can read"),
    ):
        parser.add_argument(f"--{name}", type=float, default=default, help=what)
    args = parser.parse_args(argv)
    rows = []
    for dataset_name, dataset in DATASETS.items():
        takes = draw_takes(dataset, seed=SEED)
        for cluster_name, cluster in CLUSTERS.items():
            rates = make_rates(args, megapixels=dataset.megapixels, gpu=cluster.gpus > 0)
            price = price_dataset(takes, rates=rates, cluster=cluster)
            rows.append({"dataset": dataset_name, "cluster": cluster_name, **price.model_dump()})
            bounds = ", ".join(f"{name} {s / 3600:.2f} h" for name, s in price.bounds.items())
            print(
                f"{dataset_name:<10} {cluster_name:<24} takes {price.takes_s / 3600:8.2f} h, "
                f"publish {price.publish_s / 60:5.1f} min, in all {price.total_s / 3600:8.2f} h: "
                f"{price.bottleneck} ({bounds})",
                file=sys.stderr,
            )
    result = {"rates": vars(args), "rows": rows}
    print(json.dumps(result))
    return result


if __name__ == "__main__":
    main()
