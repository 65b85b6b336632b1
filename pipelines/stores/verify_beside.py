"""Check what lies beside a version: the masks bound to it, and the tags of its store."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydantic import ValidationError

from pipelines.storage.files import file_sha256, local_copy
from pipelines.storage.places import Place
from pipelines.stores.contents import child_names, is_unfinished, read_object
from pipelines.stores.refs import read_ref
from schemas.errors import Problem, StoreDamagedError, StoreNotFoundError, UsageError
from schemas.mask import MASK_SCHEMA, MaskRecord
from schemas.store import mask_path

__all__ = ["find_mask_problems", "find_tag_problems"]

_ROWS = 65_536


def find_mask_problems(store: Place, version: str, *, table: Path) -> Iterator[Problem]:
    """Yield what is wrong with the masks of a version.

    Args:
        store: place of the store.
        version: id of the version.
        table: its segment table, on this machine.
    """
    listed = child_names(store / "masks" / version)
    names = {name for name in listed if not is_unfinished(name)}
    for name in sorted({n.rpartition(".")[0] for n in names}):
        record_path, rows_path = (mask_path(version, name, end) for end in ("json", "parquet"))
        lacking = [end for end in ("json", "parquet") if f"{name}.{end}" not in names]
        if lacking == ["parquet"]:
            yield Problem(rows_path, "must be there", "missing")
        # A table alone is no mask: its record is written last.
        if lacking:
            continue
        try:
            record = MaskRecord.model_validate_json(read_object(store / record_path))
        except ValidationError as error:
            yield Problem(record_path, f"must follow its schema: {error!s:.200}", "altered")
            continue
        bound = (record.version, record.spec.name)
        if bound != (version, name):
            message = f"must be of mask {name} of version {version}, got {bound[1]} of {bound[0]}"
            yield Problem(record_path, message, "altered")
            continue
        if file_sha256(store / rows_path) != record.sha256:
            yield Problem(rows_path, "must match the SHA-256 in its record", "altered")
            continue
        with local_copy(store / rows_path) as mask:
            yield from _row_problems(mask, loc=rows_path, table=table, record=record)


def _row_problems(mask: Path, *, loc: str, table: Path, record: MaskRecord) -> Iterator[Problem]:
    """Compare a mask with the rows of its version, 65,536 at a time."""
    spec = record.spec
    shown = train_rows = 0
    with pq.ParquetFile(mask) as masked, pq.ParquetFile(table) as rows:
        if not masked.schema_arrow.equals(MASK_SCHEMA):
            yield Problem(loc, f"must have columns {MASK_SCHEMA.names}", "schema")
            return
        count = (masked.metadata.num_rows, rows.metadata.num_rows)
        if count[0] != count[1]:
            yield Problem(loc, f"must have a row for each of {count[1]}, got {count[0]}", "rows")
            return
        pairs = zip(
            masked.iter_batches(batch_size=_ROWS),
            rows.iter_batches(batch_size=_ROWS, columns=["segment_id", "split"]),
            strict=True,
        )
        for keeps, segments in pairs:
            if not keeps["segment_id"].equals(segments["segment_id"]):
                yield Problem(loc, "must have the version's segment ids, in row order", "rows")
                return
            train = pc.fill_null(pc.equal(segments["split"], "train"), fill_value=False)
            hidden = [pc.invert(keeps[f"keep_{name}"]) for name in ("imu", "video", "text")]
            may = [False, "video" in spec.modalities, "text" in spec.modalities]
            for hides, allowed in zip(hidden, may, strict=True):
                wrong = hides if not allowed else pc.and_not(hides, train)
                if pc.any(wrong).as_py():
                    message = "must hide nothing but the recipe's modalities, and in train rows"
                    yield Problem(loc, message, "mask")
                    return
            (first, *rest) = [h for h, allowed in zip(hidden, may, strict=True) if allowed]
            if any(not other.equals(first) for other in rest):
                yield Problem(loc, "must hide the recipe's modalities together", "mask")
                return
            train_rows += pc.sum(train).as_py() or 0
            shown += pc.sum(pc.and_not(train, first)).as_py() or 0
    if (train_rows, shown) != (record.rows, record.kept_rows):
        message = (
            f"must keep {record.kept_rows} of {record.rows} train rows as its record says, "
            f"got {shown} of {train_rows}"
        )
        yield Problem(loc, message, "counts")


def find_tag_problems(store: Place) -> Iterator[Problem]:
    """Yield the tags of a store that name no version of it."""
    for name in child_names(store / "refs"):
        if not name.endswith(".json") or is_unfinished(name):
            continue
        loc, tag = f"refs/{name}", name.removesuffix(".json")
        try:
            read_ref(store, tag)
        except StoreDamagedError as error:
            yield Problem(loc, str(error), "altered")
        except StoreNotFoundError:
            message = (
                f"must name a version that exists: point it at one with store tag URI@ID {tag}"
            )
            yield Problem(loc, message, "missing")
        except UsageError as error:
            yield Problem(loc, str(error), "extra")
