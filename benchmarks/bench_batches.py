"""One epoch's batches of a version: index operations, in memory and from memory-mapped files.

``numpy`` takes the same rows out of plain arrays: the limit. ``ours`` makes batches of a loaded
version, embeddings widened to float32 as training needs them; ``mapped`` the same of a version
that stays on disk (here in the page cache, so what is told is the cost of going through it).
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import numpy as np
import torch
from side_by_side import Case, measure_cpu, ratios, report
from stored_version import AskedVersion, asked_version, make_version_parser

from primus_train.data.store import open_store
from primus_train.data.triplets import Batch, Triplets, epoch_order

__all__ = ["main"]

NAMES: Final = ("imu", "video", "text", "valid")


def compare(asked: AskedVersion, *, batch_size: int) -> Case:
    """Time an epoch each way and check that the batches are the same."""
    loaded = open_store(str(asked.root), load="memory")
    mapped = open_store(str(asked.root), verify=False, load="mapped")
    plain = {name: getattr(loaded, name).numpy() for name in NAMES}
    order = epoch_order(np.arange(asked.segments), seed=0, epoch=0, batch_size=batch_size)

    def by_numpy() -> Iterator[list[np.ndarray[Any, Any]]]:
        for rows in order:
            yield [
                plain["imu"][rows],
                plain["video"][rows].astype(np.float32),
                plain["text"][rows].astype(np.float32),
                plain["valid"][rows],
            ]

    def by_us(triplets: Triplets) -> Iterator[Batch]:
        for rows in order:
            yield triplets.batch(rows)

    in_memory, on_disk = Triplets(loaded), Triplets(mapped)
    same = all(
        all(
            np.array_equal(wanted, getattr(batch, name).numpy())
            and torch.equal(getattr(batch, name), getattr(other, name))
            for name, wanted in zip(NAMES, numbers, strict=True)
        )
        for numbers, batch, other in zip(by_numpy(), by_us(in_memory), by_us(on_disk), strict=True)
    )
    ways: dict[str, Callable[[], int]] = {
        "numpy": lambda: sum(1 for _ in by_numpy()),
        "ours": lambda: sum(1 for _ in by_us(in_memory)),
        "mapped": lambda: sum(1 for _ in by_us(on_disk)),
    }
    measured = measure_cpu(ways, repeats=asked.repeats, per=len(order))
    agreement = {"same": float(same), "batches": float(len(order))}
    agreement |= ratios(measured, way="ours", over="numpy")
    agreement |= ratios(measured, way="mapped", over="ours")
    return Case(
        name=f"segments_{asked.segments}_batch_{batch_size}",
        unit="ms_per_batch",
        runs=measured.wall,
        agreement=agreement,
        cpu=measured.cpu,
    )


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    """Run the benchmark."""
    parser = make_version_parser(__doc__)
    parser.add_argument("--batch", type=int, default=256, help="rows a batch (default %(default)s)")
    args = parser.parse_args(argv)
    with asked_version(args) as asked:
        case = compare(asked, batch_size=args.batch)
    settings = {"segments": asked.segments, "batch": args.batch, "torch": torch.__version__}
    return report("batches", cases=[case], quick=args.quick, settings=settings)


if __name__ == "__main__":
    main()
