"""Named masks beside a version: which of its train rows show video and text."""

from pathlib import PurePosixPath

from pipelines.storage.files import file_sha256, local_copy, open_atomic, write_atomic
from pipelines.storage.places import Place
from pipelines.stores.claim import claim
from pipelines.stores.contents import child_names, has_object, read_object
from pipelines.stores.draw_mask import draw_mask
from pipelines.stores.refs import read_ref
from pipelines.stores.tables import write_table
from schemas.errors import StoreDamagedError, StoreNotFoundError, UsageError
from schemas.mask import MaskRecord, MaskSpec
from schemas.store import SEGMENTS, canonical_json, mask_path, version_path

__all__ = ["list_masks", "read_mask_record", "write_mask"]


def write_mask(store: Place, version: str, *, spec: MaskSpec) -> MaskRecord:
    """Write a mask beside a version; writing the same one again changes nothing.

    The first writer of a name claims it for its recipe, so that two at once never mix; the record
    is written last, and without it there is no mask.

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
    with local_copy(store / version_path(version, SEGMENTS)) as segments:
        drawn = draw_mask(segments, spec=spec, version=version)
    _check_recipe(_claim_name(store, version, spec=spec), spec, version=version)
    with open_atomic(table_path) as file:
        write_table(file, drawn.table)
    record = drawn.record(version=version, spec=spec, digest=file_sha256(table_path))
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
