"""Make one frames part in a process of its own, and say how much memory that took at most."""

import argparse
import json
import resource
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from pipelines.config import EncoderConfig, VideoConfig
from pipelines.encoders.clip4clip import open_clip4clip
from pipelines.parts.frames import write_frames_part
from pipelines.parts.store import PartStore
from schemas.time import NS_PER_S, Interval

__all__ = ["main", "peak_mb"]

_STATUS: Final = Path("/proc/self/status")
_KEY: Final = "0" * 64


def peak_mb() -> float:
    """Return the most memory this process has had resident, MB of a million bytes."""
    if _STATUS.exists():
        # What getrusage tells can be the parent's peak, from before the program was loaded.
        lines = _STATUS.read_text(encoding="ascii").splitlines()
        peak_kib = next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
    else:
        peak_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak_kib * 1024 / 1e6


def main(argv: Sequence[str] | None = None) -> None:
    """Print one JSON object: peak_mb, peak_mb_before (modules and weights alone) and rows."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("video", type=Path)
    parser.add_argument("--seconds", type=float, required=True, help="read of it")
    parser.add_argument("--encoder", type=Path, required=True, help="folder")
    parser.add_argument("--precision", choices=["auto", "float32", "bfloat16"], default="auto")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args(argv)
    encoder = open_clip4clip(EncoderConfig(name=str(args.encoder), precision=args.precision))
    before = peak_mb()
    with tempfile.TemporaryDirectory() as folder:
        parts = PartStore(Path(folder))
        write_frames_part(
            parts,
            _KEY,
            paths=[args.video],
            span=Interval(0, round(args.seconds * NS_PER_S)),
            config=VideoConfig(),
            encoder=encoder,
            threads=args.threads,
        )
        peak = peak_mb()
        rows = sum(batch.num_rows for batch in parts.read("frames", _KEY))
    print(json.dumps({"peak_mb": peak, "peak_mb_before": before, "rows": rows}))


if __name__ == "__main__":
    main()
