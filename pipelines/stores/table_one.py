"""How much is in a set of stores, beside Table I of the PRIMUS paper (Das et al., ICASSP 2025)."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, Final

import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict, Field

from pipelines.storage.files import local_copy
from pipelines.storage.places import Place
from schemas.errors import UsageError
from schemas.segment import SPLITS
from schemas.store import SEGMENTS, version_path

__all__ = [
    "ALL",
    "PAPER_CLASSES",
    "PAPER_SEGMENTS",
    "TableOneRow",
    "make_table_one",
    "print_table_one",
]

ALL: Final = "all"
"""Split of the row that counts every split; the paper pretrains on both of Ego-Exo4D's."""

PAPER_SEGMENTS: Final = {
    ("egoexo4d", "train"): 195_000,
    ("egoexo4d", "test"): 53_000,
    ("egoexo4d", ALL): 250_000,
    ("ego4d", "train"): 555_000,
    ("ego4d", "test"): 57_000,
    ("realworld", "train"): 8_300,
    ("realworld", "test"): 2_600,
}
"""(dataset, split): segments; under ``ALL`` what it pretrains on. All are rounded in print."""

PAPER_CLASSES: Final = {"egoexo4d": 8, "ego4d": 10, "realworld": 8}
"""Classes of each downstream task."""

_COLUMNS: Final = ("dataset", "split", "take_uid", "participant", "label", "start_ns", "end_ns")
_ROWS: Final = 65_536
_NS_PER_HOUR: Final = 3600 * 10**9


class TableOneRow(BaseModel):
    """One dataset's split."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    dataset: str
    split: str = Field(description="train, val, test, none, or all")
    segments: int
    labelled: int = Field(description="segments with a class")
    takes: int
    hours: float = Field(description="time that at least one segment covers")
    participants: int = Field(description="known ones")
    classes: int
    paper_segments: int | None = Field(description="what the paper counts; None where it is silent")
    paper_classes: int | None


def make_table_one(versions: Sequence[tuple[Place, str]]) -> list[TableOneRow]:
    """Return a row for each dataset and split in the versions, and one for each dataset's whole.

    Reads the segment tables a batch of rows at a time. Stores of one dataset are added up.

    Args:
        versions: (place of a store, version id).

    Raises:
        UsageError: if two of the versions hold the same take.
    """
    counts: defaultdict[tuple[str, str], _Count] = defaultdict(_Count)
    held: set[tuple[str, str]] = set()
    for store, version in versions:
        here: set[tuple[str, str]] = set()
        with (
            local_copy(store / version_path(version, SEGMENTS)) as path,
            pq.ParquetFile(path) as file,
        ):
            for batch in file.iter_batches(batch_size=_ROWS, columns=list(_COLUMNS)):
                for row in batch.to_pylist():
                    split = row["split"] or "none"
                    counts[row["dataset"], split].add(row)
                    counts[row["dataset"], ALL].add(row)
                    here.add((row["dataset"], row["take_uid"]))
        if twice := sorted(held & here):
            raise UsageError(
                f"stores of a table must hold different takes, got {len(twice)} of {store}@"
                f"{version} in an earlier one too, such as {' '.join(twice[0])}"
            )
        held |= here
    order = [*SPLITS, "none", ALL]
    keys = sorted(counts, key=lambda key: (key[0], order.index(key[1])))
    return [
        TableOneRow(
            dataset=dataset,
            split=split,
            segments=counts[dataset, split].segments,
            labelled=counts[dataset, split].labelled,
            takes=len(counts[dataset, split].takes),
            hours=round(counts[dataset, split].covered_ns / _NS_PER_HOUR, 4),
            participants=len(counts[dataset, split].participants),
            classes=len(counts[dataset, split].classes),
            paper_segments=PAPER_SEGMENTS.get((dataset, split)),
            paper_classes=PAPER_CLASSES.get(dataset),
        )
        for dataset, split in keys
    ]


def print_table_one(rows: Sequence[TableOneRow]) -> str:
    """Return the table for a person, the paper's figures in columns of their own."""
    head = (
        "dataset", "split", "segments", "paper", "labelled", "takes", "hours", "participants",
        "classes", "paper",
    )  # fmt: skip
    cells = [head, *(_cells(row) for row in rows)]
    widths = [max(len(line[i]) for line in cells) for i in range(len(head))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if i < 2 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in cells
    )


def _cells(row: TableOneRow) -> tuple[str, ...]:
    return (
        row.dataset,
        row.split,
        str(row.segments),
        _thousands(row.paper_segments),
        str(row.labelled),
        str(row.takes),
        f"{row.hours:.2f}",
        str(row.participants),
        str(row.classes),
        "-" if row.paper_classes is None else str(row.paper_classes),
    )


class _Count:
    """What one split holds; rows come sorted by take and start."""

    def __init__(self) -> None:
        self.segments = 0
        self.labelled = 0
        self.covered_ns = 0
        self.takes: dict[str, int] = {}
        """take_uid: end of what is counted of it."""
        self.participants: set[str] = set()
        self.classes: set[str] = set()

    def add(self, row: dict[str, Any]) -> None:
        self.segments += 1
        if row["label"] is not None:
            self.labelled += 1
            self.classes.add(row["label"])
        if row["participant"] is not None:
            self.participants.add(row["participant"])
        until_ns = self.takes.get(row["take_uid"], row["start_ns"])
        self.covered_ns += max(row["end_ns"] - max(row["start_ns"], until_ns), 0)
        self.takes[row["take_uid"]] = max(until_ns, row["end_ns"])


def _thousands(count: int | None) -> str:
    return "-" if count is None else f"{count / 1000:g} K"
