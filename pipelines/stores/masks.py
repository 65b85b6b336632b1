"""Named masks: which train rows of a version show video and text, drawn by hash, not by chance."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from fractions import Fraction
from hashlib import sha256
from math import floor
from pathlib import PurePosixPath

import polars as pl
import pyarrow.parquet as pq

from pipelines.storage.files import file_sha256, local_copy, open_atomic, write_atomic
from pipelines.storage.places import Place
from pipelines.stores.claim import claim
from pipelines.stores.contents import child_names, has_object, read_object
from pipelines.stores.refs import read_ref
from pipelines.stores.tables import write_table
from schemas.errors import StoreDamagedError, StoreNotFoundError, UsageError
from schemas.mask import MASK_SCHEMA, MaskRecord, MaskSpec
from schemas.store import SEGMENTS, canonical_json, mask_path, version_path

__all__ = ["draw_units", "list_masks", "read_mask_record", "unit_hash", "write_mask"]

_HASH_BITS = 64


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


def write_mask(store: Place, version: str, *, spec: MaskSpec) -> MaskRecord:
    """Write a mask beside a version; writing the same one again changes nothing.

    The first writer of a name claims it for its recipe, so that two at once never mix; the record
    is written last, and without it there is no mask. Only rows of the train split are ever hidden.
    A take or participant stands for all its rows; a row whose participant is unknown stands with
    its take.

    Raises:
        StoreNotFoundError: if the version does not exist.
        UsageError: if the name is taken by another recipe, or the version has no train rows, or
            none with anything to hide.
    """
    version = read_ref(store, version)
    table_path = store / mask_path(version, spec.name, "parquet")
    before = _find_record(store, version, spec.name)
    if before is not None:
        _check_recipe(before.spec, spec, version=version)
        if has_object(table_path) and file_sha256(table_path) == before.sha256:
            return before
    rows = _read_rows(store, version, unit=spec.unit)
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
    _check_recipe(_claim_name(store, version, spec=spec), spec, version=version)
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
    with open_atomic(table_path) as file:
        write_table(file, masked.to_arrow().cast(MASK_SCHEMA))
    record = MaskRecord(
        version=version,
        spec=spec,
        units=len(labels),
        kept_units=len(kept),
        rows=train.height,
        kept_rows=train.filter(pl.col("unit").is_in(sorted(kept))).height,
        sha256=file_sha256(table_path),
    )
    record_path = store / mask_path(version, spec.name, "json")
    write_atomic(record_path, canonical_json(record.model_dump(mode="json")))
    return record


def read_mask_record(store: Place, version: str, name: str) -> MaskRecord:
    """Return a mask's recipe and counts.

    Raises:
        StoreNotFoundError: if the version has no such mask; the sentence lists those it has.
        StoreDamagedError: if the record cannot be read.
    """
    record = _find_record(store, version, name)
    if record is None:
        names = ", ".join(list_masks(store, version)) or "none"
        raise StoreNotFoundError(f"mask {name} must exist, version {version} has {names} [{store}]")
    return record


def list_masks(store: Place, version: str) -> list[str]:
    """Return the names of a version's masks, sorted."""
    names = child_names(store / "masks" / version)
    return [PurePosixPath(name).stem for name in names if name.endswith(".json")]


def _find_record(store: Place, version: str, name: str) -> MaskRecord | None:
    path = store / mask_path(version, name, "json")
    try:
        return MaskRecord.model_validate_json(read_object(path))
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise StoreDamagedError(f"mask record must follow its schema [{path}]") from error


def _claim_name(store: Place, version: str, *, spec: MaskSpec) -> MaskSpec:
    """Return the recipe that the name stands for: ours, or that of whoever came first."""
    path = store / mask_path(version, spec.name, "claim")
    data = claim(path, canonical_json(spec.model_dump(mode="json")))
    try:
        return MaskSpec.model_validate_json(data)
    except ValueError as error:
        raise StoreDamagedError(f"mask claim must hold a recipe, delete it [{path}]") from error


def _check_recipe(before: MaskSpec, spec: MaskSpec, *, version: str) -> None:
    if before != spec:
        raise UsageError(
            f"mask {spec.name} must keep its recipe {before.model_dump_json()}, "
            f"got {spec.model_dump_json()}: choose another name [version={version}]"
        )


def _read_rows(store: Place, version: str, *, unit: str) -> pl.DataFrame:
    present = ["has_video", "has_text"]
    columns = ["segment_id", "take_uid", "participant", "split", "label", *present]
    with local_copy(store / version_path(version, SEGMENTS)) as file:
        table = pq.read_table(file, columns=columns)
    frame = pl.DataFrame(table)
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
