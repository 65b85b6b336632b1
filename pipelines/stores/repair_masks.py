"""Draw damaged masks again: each is a pure function of its recipe and the version's table."""

from pathlib import Path
from typing import Final

from pydantic import ValidationError

from pipelines.storage.files import file_sha256, upload, write_atomic
from pipelines.storage.places import Place
from pipelines.stores.contents import child_names, has_object, read_object
from pipelines.stores.draw_mask import draw_mask
from pipelines.stores.repair_report import Healed, Unhealed
from pipelines.stores.tables import write_table
from schemas.errors import UsageError
from schemas.mask import MaskRecord, MaskSpec
from schemas.store import canonical_json, is_tag, mask_path

__all__ = ["find_bad_masks", "redraw_mask"]

_REMEDY: Final = (
    "remove the mask's files and write it again with `primus-prep mask`; runs that used it name "
    "its digest"
)


def find_bad_masks(store: Place, version: str) -> dict[str, str]:
    """Return the masks whose record or table is missing or altered, each with its bad object.

    One without a record was never finished, and is none.

    Args:
        store: place of the store.
        version: id of the version.
    """
    bad: dict[str, str] = {}
    for listed in child_names(store / "masks" / version):
        name, dot, suffix = listed.rpartition(".")
        if not dot or suffix != "json" or not is_tag(name):
            continue
        record = _read_record(store, version, name)
        table = store / mask_path(version, name, "parquet")
        if record is None:
            bad[name] = mask_path(version, name, "json")
        elif not has_object(table) or file_sha256(table) != record.sha256:
            bad[name] = mask_path(version, name, "parquet")
    return bad


def redraw_mask(
    store: Place, version: str, name: str, *, table: Path, folder: Path, dry_run: bool
) -> Healed | Unhealed:
    """Draw a damaged mask again and, where it proves to be the one that was, put it in place.

    A table is proven by the digest in its record. Where the record is damaged, the claim of the
    name tells the recipe, and the table that lies there proves what is drawn by it.

    Args:
        store: place of the store.
        version: id of the version.
        name: of the mask.
        table: the version's segment table, on this machine.
        folder: to draw in, on this machine.
        dry_run: draw and prove, put nothing in place.

    Raises:
        StorageError: if a place cannot be read or written.
    """
    record = _read_record(store, version, name)
    paths = {end: mask_path(version, name, end) for end in ("json", "parquet", "claim")}
    bad = paths["json"] if record is None else paths["parquet"]
    spec = record.spec if record is not None else _read_claim(store / paths["claim"], name=name)
    if spec is None:
        why = "neither its record nor the claim of its name tells its recipe"
        return Unhealed(object=bad, why=why, remedy=_REMEDY)
    try:
        drawn = draw_mask(table, spec=spec, version=version)
    except UsageError as error:
        return Unhealed(object=bad, why=str(error), remedy=_REMEDY)
    made = folder / f"{name}.parquet"
    write_table(made, drawn.table)
    digest = file_sha256(made)
    if record is None:
        there = store / paths["parquet"]
        if not has_object(there) or file_sha256(there) != digest:
            why = "its record is damaged, and the table there is not what its recipe gives"
            return Unhealed(object=bad, why=why, remedy=_REMEDY)
        if not dry_run:
            again = drawn.record(version=version, spec=spec, digest=digest)
            write_atomic(store / bad, canonical_json(again.model_dump(mode="json")))
        return Healed(object=bad, how="redrawn")
    if record != drawn.record(version=version, spec=spec, digest=digest):
        why = "what its recipe gives must have the digest and counts in its record, it has others"
        return Unhealed(object=bad, why=why, remedy=_REMEDY)
    if not dry_run:
        upload(made, store / bad)
    return Healed(object=bad, how="redrawn")


def _read_record(store: Place, version: str, name: str) -> MaskRecord | None:
    """Return a mask's record; None for one that is damaged, or of another mask."""
    try:
        record = MaskRecord.model_validate_json(
            read_object(store / mask_path(version, name, "json"))
        )
    except (FileNotFoundError, ValidationError):
        return None
    return record if (record.version, record.spec.name) == (version, name) else None


def _read_claim(path: Place, *, name: str) -> MaskSpec | None:
    try:
        spec = MaskSpec.model_validate_json(read_object(path))
    except (FileNotFoundError, ValidationError):
        return None
    return spec if spec.name == name else None
