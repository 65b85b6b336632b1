"""Counts of a version: planned = stored + dropped + quarantined, added up take by take."""

from collections import Counter
from collections.abc import Mapping

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.segments.splits import find_shared_participants
from schemas.errors import PrimusError
from schemas.manifest import Counts

__all__ = ["VersionTally"]


class VersionTally:
    """Counts of a version, added up take by take."""

    def __init__(self, *, max_tokens: int | None = None) -> None:
        """Start at nothing.

        Args:
            max_tokens: longest sentence the encoder takes; None without one.
        """
        self._max_tokens = max_tokens
        self.long_sentences = 0
        self.planned = 0
        self.stored = 0
        self.takes = 0
        self.dropped: Counter[str] = Counter()
        self.splits: Counter[str] = Counter()
        self.labels: Counter[str] = Counter()
        self.pairs: set[tuple[str | None, str | None]] = set()
        # Takes of unknown people, each a participant of its own.
        self.strangers: Counter[str] = Counter()

    def add(self, *, rows: int, planned: int, drops: Mapping[str, int]) -> None:
        """Count one take's segments: stored rows, planned ones, and dropped ones by reason."""
        self.planned += planned
        self.stored += rows
        self.takes += rows > 0
        self.dropped.update(drops)

    def add_rows(self, table: pa.Table) -> None:
        """Count what stands in the rows of whole takes, none of them given twice."""
        if self._max_tokens is not None:
            longer = pc.sum(pc.greater(table["tokens"], self._max_tokens)).as_py()
            self.long_sentences += longer or 0
        for name, counter in (("split", self.splits), ("label", self.labels)):
            for entry in pc.value_counts(table[name]).to_pylist():
                if entry["values"] is not None:
                    counter[entry["values"]] += entry["counts"]
        people = table.group_by(["take_uid", "participant", "split"]).aggregate([])
        for entry in people.to_pylist():
            self.pairs.add((entry["participant"], entry["split"]))
            if entry["participant"] is None and entry["split"] is not None:
                self.strangers[entry["split"]] += 1

    def finish(
        self, *, quarantine: pa.Table, ignored: Mapping[str, int], may_share: bool = True
    ) -> Counts:
        """Return the counts of the takes added and of those quarantined.

        Args:
            quarantine: ``QUARANTINE_SCHEMA``.
            ignored: annotations not used, by reason.
            may_share: whether a participant may stand in two splits; official splits alone do.

        Raises:
            PrimusError: if one does and may not.
        """
        shared = find_shared_participants(self.pairs)
        names = tuple(f"{name} ({', '.join(splits)})" for name, splits in shared.items())
        if names and not may_share:
            raise PrimusError(f"participants must be in one split each, got {', '.join(names)}")
        people = Counter(split for name, split in self.pairs if name is not None and split)
        segments: Counter[str] = Counter()
        takes: Counter[str] = Counter()
        for entry in quarantine.select(["reason", "segments"]).to_pylist():
            takes[entry["reason"]] += 1
            segments[entry["reason"]] += entry["segments"]
        return Counts(
            planned=self.planned + segments.total(),
            stored=self.stored,
            long_sentences=self.long_sentences,
            dropped=dict(self.dropped),
            quarantined={reason: n for reason, n in segments.items() if n},
            quarantined_takes=dict(takes),
            ignored=dict(ignored),
            takes=self.takes,
            splits=dict(self.splits),
            labels=dict(self.labels),
            shared_participants=len(names),
            shared_names=names,
            split_participants=dict(people + self.strangers),
        )
