"""Counts of a version: planned = stored + dropped + quarantined, added up take by take."""

from collections import Counter
from collections.abc import Mapping

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.segments.splits import find_shared_participants
from pipelines.stores.assemble import TakeRows
from schemas.manifest import Counts

__all__ = ["VersionTally"]


class VersionTally:
    """Counts of a version, added up take by take."""

    def __init__(self) -> None:
        self.planned = 0
        self.stored = 0
        self.takes = 0
        self.dropped: Counter[str] = Counter()
        self.splits: Counter[str] = Counter()
        self.labels: Counter[str] = Counter()
        self.pairs: set[tuple[str | None, str | None]] = set()

    def add(self, rows: TakeRows) -> None:
        """Count one take."""
        self.planned += rows.planned
        self.stored += len(rows)
        self.takes += len(rows) > 0
        self.dropped.update(rows.drops)
        for name, counter in (("split", self.splits), ("label", self.labels)):
            for entry in pc.value_counts(rows.table[name]).to_pylist():
                if entry["values"] is not None:
                    counter[entry["values"]] += entry["counts"]
        for entry in rows.table.select(["participant", "split"]).slice(0, 1).to_pylist():
            self.pairs.add((entry["participant"], entry["split"]))

    def finish(self, *, quarantine: pa.Table, ignored: Mapping[str, int]) -> Counts:
        """Return the counts of the takes added and of those quarantined."""
        segments: Counter[str] = Counter()
        takes: Counter[str] = Counter()
        for entry in quarantine.select(["reason", "segments"]).to_pylist():
            takes[entry["reason"]] += 1
            segments[entry["reason"]] += entry["segments"]
        return Counts(
            planned=self.planned + segments.total(),
            stored=self.stored,
            dropped=dict(self.dropped),
            quarantined={reason: n for reason, n in segments.items() if n},
            quarantined_takes=dict(takes),
            ignored=dict(ignored),
            takes=self.takes,
            splits=dict(self.splits),
            labels=dict(self.labels),
            shared_participants=len(find_shared_participants(self.pairs)),
        )
