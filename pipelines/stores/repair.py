"""Mend a version: make only its bad objects again, and prove each before it is put in place."""

import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from importlib import metadata
from pathlib import Path
from typing import Final

import pyarrow as pa
from pydantic import ValidationError

from pipelines.storage.faults import TEMPORARY_FIELD, storage_faults
from pipelines.storage.files import file_sha256, local_copy, upload, write_atomic
from pipelines.storage.places import Place, open_place
from pipelines.stores.blueprint import Blueprint, open_blueprint
from pipelines.stores.contents import file_sizes
from pipelines.stores.rebuild import Rebuilder, make_metadata, read_config
from pipelines.stores.repair_masks import find_bad_masks, redraw_mask
from pipelines.stores.repair_report import Healed, RepairReport, Unhealed
from pipelines.stores.sealed import (
    find_digest_problems,
    read_manifest,
    read_run_record,
    seal_run_record,
)
from schemas.errors import StoreDamagedError, StoreNotFoundError, TakeError, UsageError
from schemas.manifest import Manifest, RunRecord
from schemas.store import (
    MANIFEST,
    QUARANTINE,
    RUN,
    SEGMENTS,
    canonical_json,
    sha256_hex,
    version_path,
)

__all__ = ["repair_version"]

_RUN_AGAIN: Final = (
    "run `primus-prep run` again with the config of the version and the dataset there: it makes "
    "what is missing and mends the version under the same id"
)
_NO_TABLE: Final = f"{SEGMENTS} must be right first, it could not be mended"
_SHAPING: Final = ("numpy", "pyarrow", "zarr")


def repair_version(
    store: Place,
    version: str,
    *,
    parts_root: Place | None = None,
    dry_run: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> RepairReport:
    """Make the bad objects of a version again, from its blueprint and the parts.

    Each is put in place by one write, and only if it has the digest in the manifest, whose own is
    the version's id: the id stays, whatever happens. What is right is not touched. Masks are drawn
    again: a table is proven by its record, a record by the table.

    Args:
        store: place of the store.
        version: id of the version.
        parts_root: where the parts lie; None looks where the run record says, then in the store.
        dry_run: make and prove, but put nothing in place.
        progress: told how many bad objects have been dealt with, and of how many.

    Raises:
        StoreNotFoundError: if the store holds nothing of such a version.
        NewerFormatError: if a newer format wrote it.
        StorageError: if a place cannot be read or written.
    """
    if not file_sizes(store / version_path(version)):
        raise StoreNotFoundError(f"version {version} must exist, even if damaged [{store}]")
    places = [parts_root] if parts_root is not None else _likely_parts(store, version)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="primus-")))
        mend = _Mend(store, version, folder=folder, stack=stack, dry_run=dry_run)
        mend.open_blueprint(places)
        found = mend.heal_manifest()
        done: list[Healed | Unhealed] = [found] if found is not None else []
        # While there is no manifest nothing can be told of the rest.
        if found is None or (isinstance(found, Healed) and not dry_run):
            done += mend.heal_objects(progress)
            done += mend.heal_masks(done)
    return RepairReport(
        store=str(store),
        version=version,
        dry_run=dry_run,
        healed=tuple(one for one in done if isinstance(one, Healed)),
        unhealed=tuple(one for one in done if isinstance(one, Unhealed)),
    )


def _likely_parts(store: Place, version: str) -> list[Place]:
    try:
        named = [open_place(read_run_record(store, version).parts_uri)]
    except (StoreDamagedError, UsageError):
        named = []
    return [*named, store / "parts"]


class _Mend:
    def __init__(
        self, store: Place, version: str, *, folder: Path, stack: ExitStack, dry_run: bool
    ) -> None:
        self._store, self._version = store, version
        self._target = store / version_path(version)
        self._folder, self._stack, self._dry_run = folder, stack, dry_run
        self._blueprint: Blueprint | None = None
        self._parts: Place | None = None
        self._lacking = ""
        self._rebuilder: Rebuilder | None = None
        self._chunk: tuple[int, Path] | None = None

    def open_blueprint(self, places: Sequence[Place]) -> None:
        """Find the blueprint of the version beside the parts."""
        for place in places:
            try:
                opened = open_blueprint(place, self._version)
                self._blueprint, self._parts = self._stack.enter_context(opened), place
            except FileNotFoundError:
                continue
            except StoreDamagedError as error:
                self._lacking = str(error)
                continue
            return
        listed = " or ".join(str(place) for place in places)
        self._lacking = self._lacking or f"blueprint must be there, got none in {listed}"

    def heal_manifest(self) -> Healed | Unhealed | None:
        """Put a manifest back that has the version's id; None where it is right."""
        try:
            data = canonical_json(read_manifest(self._store, self._version).model_dump(mode="json"))
            how = "rebuilt"
            if (self._target / MANIFEST).read_bytes() == data:
                return None
        except (StoreDamagedError, StoreNotFoundError) as error:
            if self._blueprint is None:
                return Unhealed(
                    object=MANIFEST,
                    why=f"{error}; {self._lacking}, and nothing else tells what it said",
                    remedy=_RUN_AGAIN,
                )
            data, how = self._blueprint.manifest, "copied"
        if sha256_hex(data)[:16] != self._version:
            why = f"blueprint must hold the manifest of {self._version}, got another"
            return Unhealed(object=MANIFEST, why=why, remedy=_RUN_AGAIN)
        if not self._dry_run:
            write_atomic(self._target / MANIFEST, data)
        return Healed(object=MANIFEST, how=how)

    def heal_objects(self, progress: Callable[[int, int], None] | None) -> list[Healed | Unhealed]:
        """Deal with all that digests find wrong, the table before what is compared with it."""
        problems = find_digest_problems(self._store, self._version)
        manifest = read_manifest(self._store, self._version)
        entries = {entry.path: entry.sha256 for entry in manifest.objects}
        bad = sorted({p.loc for p in problems} - {MANIFEST}, key=_order)
        done: list[Healed | Unhealed] = []
        for name in bad:
            if name == RUN:
                done.append(self._heal_run(manifest))
            elif name not in entries:
                if not self._dry_run:
                    (self._target / name).unlink(missing_ok=True)
                done.append(Healed(object=name, how="removed"))
            else:
                rows = next((o for o in done if o.object == SEGMENTS), None)
                done.append(self._heal(name, entries[name], manifest=manifest, rows=rows))
            if progress is not None:
                progress(len(done), len(bad))
        return done

    def heal_masks(self, done: Sequence[Healed | Unhealed]) -> list[Healed | Unhealed]:
        """Deal with the version's masks, once its table is right.

        Args:
            done: what was dealt with before.
        """
        bad = find_bad_masks(self._store, self._version)
        if not bad:
            return []
        rows = next((one for one in done if one.object == SEGMENTS), None)
        if isinstance(rows, Unhealed):
            return [Unhealed(object=b, why=_NO_TABLE, remedy=_RUN_AGAIN) for b in bad.values()]
        with ExitStack() as copies:
            if rows is not None and self._dry_run and self._rebuilder is not None:
                table = self._rebuilder.segments / SEGMENTS
            else:
                table = copies.enter_context(local_copy(self._target / SEGMENTS))
            return [
                redraw_mask(
                    self._store,
                    self._version,
                    name,
                    table=table,
                    folder=self._folder,
                    dry_run=self._dry_run,
                )
                for name in bad
            ]

    def _heal(
        self, name: str, digest: str, *, manifest: Manifest, rows: Healed | Unhealed | None
    ) -> Healed | Unhealed:
        try:
            with storage_faults(self._folder, fields=TEMPORARY_FIELD):
                made = self._make(name, manifest=manifest, rows=rows)
        except (StoreDamagedError, TakeError, UsageError, pa.ArrowException) as error:
            return Unhealed(object=name, why=str(error), remedy=_RUN_AGAIN)
        if file_sha256(made) != digest:
            why = "what the parts give must have the digest in the manifest, it has another"
            return Unhealed(object=name, why=why, remedy=self._told_apart())
        if not self._dry_run:
            upload(made, self._target / name)
        return Healed(object=name, how="rebuilt")

    def _make(self, name: str, *, manifest: Manifest, rows: Healed | Unhealed | None) -> Path:
        if name.endswith("/zarr.json"):
            return make_metadata(self._folder / "metadata", manifest=manifest) / name
        rebuilder = self._open_rebuilder(manifest)
        if name == QUARANTINE:
            return rebuilder.quarantine / name
        if name == SEGMENTS:
            return rebuilder.segments / name
        if isinstance(rows, Unhealed):
            raise StoreDamagedError(_NO_TABLE)
        number = _chunk_number(name)
        if self._chunk is None or self._chunk[0] != number:
            with ExitStack() as copies:
                # In a dry run the table that was made now; otherwise the one in place.
                table = (
                    rebuilder.segments / SEGMENTS
                    if rows is not None
                    else copies.enter_context(local_copy(self._target / SEGMENTS))
                )
                self._chunk = (number, rebuilder.chunk(number, table=table))
        return self._chunk[1] / name

    def _open_rebuilder(self, manifest: Manifest) -> Rebuilder:
        if self._blueprint is None or self._parts is None:
            raise StoreDamagedError(self._lacking)
        if self._rebuilder is None:
            self._rebuilder = Rebuilder(
                manifest,
                config=read_config(self._blueprint, store=self._store, parts_root=self._parts),
                blueprint=self._blueprint,
                folder=self._folder,
            )
        return self._rebuilder

    def _heal_run(self, manifest: Manifest) -> Healed | Unhealed:
        data = self._blueprint.run if self._blueprint is not None else b""
        try:
            record = RunRecord.model_validate_json(data)
        except ValidationError:
            why = self._lacking or "blueprint must hold the run record, got none"
            return Unhealed(object=RUN, why=why, remedy=_RUN_AGAIN)
        sealed = sha256_hex(canonical_json(manifest.model_dump(mode="json")))
        if seal_run_record(record) != record or record.manifest_sha256 != sealed:
            why = "blueprint must hold the run record of this version, got another"
            return Unhealed(object=RUN, why=why, remedy=_RUN_AGAIN)
        if not self._dry_run:
            write_atomic(self._target / RUN, data)
        return Healed(object=RUN, how="copied")

    def _told_apart(self) -> str:
        """Name the libraries that decide bytes and are not those of the run."""
        try:
            made_by = read_run_record(self._store, self._version).packages
        except StoreDamagedError:
            made_by = {}
        other = [
            f"{name}=={made_by[name]}"
            for name in _SHAPING
            if name in made_by and metadata.version(name) != made_by[name]
        ]
        if other:
            return f"install {' '.join(other)}, which made it, and repair again"
        return "repair with the code that made it (store show --lineage names it)"


def _order(name: str) -> tuple[int, int, str]:
    """Small files first, then the table, then chunk by chunk."""
    if name == SEGMENTS:
        return 1, 0, name
    number = _chunk_number(name) if "/c/" in name else None
    return (0, 0, name) if number is None else (2, number, name)


def _chunk_number(name: str) -> int:
    tail = name.partition("/c/")[2].partition("/")[0]
    return int(tail) if tail.isdigit() else 0
