"""Draw a mask: a pure function of its recipe and the segment table, by hash and not by chance."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from hashlib import sha256
from math import floor
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from schemas.errors import UsageError
from schemas.mask import MASK_SCHEMA, MaskRecord, MaskSpec
from schemas.store import canonical_json

__all__ = ["DrawnMask", "draw_mask", "draw_units", "unit_hash"]

_HASH_BITS = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawnMask:
    """A mask's table and its counts, before either is written."""

    table: pa.Table
    """As ``MASK_SCHEMA``, in the version's row order."""
    units: int
    kept_units: int
    rows: int
    kept_rows: int

    def record(self, *, version: str, spec: MaskSpec, digest: str) -> MaskRecord:
        """Return what lies beside the table.

        Args:
            version: it is bound to.
            spec: it was drawn by.
            digest: SHA-256 of the table's file, hex.
        """
        return MaskRecord(
            version=version,
            spec=spec,
            units=self.units,
            kept_units=self.kept_units,
            rows=self.rows,
            kept_rows=self.kept_rows,
            sha256=digest,
        )


def draw_mask(segments: Path, *, spec: MaskSpec, version: str) -> DrawnMask:
    """Return the mask that a recipe gives on a version.

    Only rows of the train split are ever hidden. A take or participant stands for all its rows; a
    row whose participant is unknown stands with its take.

    Args:
        segments: the version's segment table, on this machine.
        spec: recipe.
        version: id of the version, for the sentence.

    Raises:
        UsageError: if the version has no train rows, or none with anything to hide.
    """
    rows = _read_rows(segments, unit=spec.unit)
    train = rows.filter(pl.col("split") == "train")
    if train.height == 0:
        raise UsageError(
            f"mask {spec.name} needs rows of the train split, got none [version={version}]"
        )
    if not any(train[f"has_{modality}"].any() for modality in spec.modalities):
        raise UsageError(
            f"mask {spec.name} needs train rows with {' or '.join(spec.modalities)}, "
            f"got none [version={version}]"
        )
    labels = _unit_labels(train)
    kept = draw_units(labels, spec=spec)
    shows = ~(pl.col("split") == "train").fill_null(value=False) | pl.col("unit").is_in(
        pl.Series(sorted(kept), dtype=pl.String).implode()
    )
    masked = rows.select(
        "segment_id",
        pl.lit(value=True).alias("keep_imu"),
        (shows if "video" in spec.modalities else pl.lit(value=True)).alias("keep_video"),
        (shows if "text" in spec.modalities else pl.lit(value=True)).alias("keep_text"),
    )
    return DrawnMask(
        table=masked.to_arrow().cast(MASK_SCHEMA),
        units=len(labels),
        kept_units=len(kept),
        rows=train.height,
        kept_rows=train.filter(pl.col("unit").is_in(sorted(kept))).height,
    )


def unit_hash(unit_id: str, *, seed: int) -> int:
    """Return where a unit falls in ``[0, 2**64)``: the first 8 bytes of a SHA-256, big-endian."""
    return int.from_bytes(sha256(canonical_json([seed, unit_id])).digest()[:8], "big")


def draw_units(labels: Mapping[str, str | None], *, spec: MaskSpec) -> set[str]:
    """Return the units that keep their modalities.

    A unit is kept when its hash lies below ``keep`` of the range: a larger ``keep`` keeps all that
    a smaller one did, and a store with more units keeps the same ones. With ``exact``, the
    ``round(keep * n)`` smallest hashes of each label's n units are kept instead: counts are exact
    and still nested, but depend on which units there are.

    Args:
        labels: label of each unit, by unit id.
        spec: seed, keep, exact.
    """
    keep = Fraction(spec.keep)
    hashes = {unit: unit_hash(unit, seed=spec.seed) for unit in labels}
    if not spec.exact:
        return {unit for unit, value in hashes.items() if value < keep * 2**_HASH_BITS}
    strata: defaultdict[str, list[str]] = defaultdict(list)
    for unit, label in labels.items():
        strata[label or ""].append(unit)
    kept: set[str] = set()
    for units in strata.values():
        units.sort(key=lambda unit: (hashes[unit], unit))
        kept.update(units[: floor(keep * len(units) + Fraction(1, 2))])
    return kept


def _read_rows(segments: Path, *, unit: str) -> pl.DataFrame:
    present = ["has_video", "has_text"]
    columns = ["segment_id", "take_uid", "participant", "split", "label", *present]
    frame = pl.DataFrame(pq.read_table(segments, columns=columns))
    unit_id = {
        "segment": pl.col("segment_id"),
        "take": pl.col("take_uid"),
        "participant": pl.coalesce("participant", pl.concat_str(pl.lit("take:"), "take_uid")),
    }[unit]
    return frame.select("segment_id", "split", "label", *present, unit_id.alias("unit"))


def _unit_labels(train: pl.DataFrame) -> dict[str, str | None]:
    """Return each unit's label: the one most of its rows have, the first by name in a tie."""
    counts: defaultdict[str, Counter[str | None]] = defaultdict(Counter)
    for unit, label, n in train.group_by("unit", "label").len().iter_rows():
        counts[unit][label] += n
    return {
        unit: min(found, key=lambda label: (-found[label], label or ""))
        for unit, found in sorted(counts.items())
    }
