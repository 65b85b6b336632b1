"""Remove what nobody needs any more: leftovers of killed runs, and never a referenced object."""

from typing import Final, get_args

from pydantic import BaseModel, ConfigDict, Field

from pipelines.parts.store import PartKind
from pipelines.storage.files import remove_folder
from pipelines.storage.places import Place, is_local
from pipelines.stores.ages import FileAge, file_ages
from pipelines.stores.blueprint import FOLDER, open_blueprint
from pipelines.stores.contents import child_names, has_object, is_unfinished, read_object
from pipelines.stores.hidden import HIDDEN_PREFIX
from pipelines.stores.refs import list_tags
from pipelines.stores.sealed import read_run_record
from schemas.errors import StoreDamagedError, StoreNotFoundError, UsageError
from schemas.store import MANIFEST, is_version_id, parse_json, version_path

__all__ = ["GRACE_S", "GcReport", "Kept", "Removed", "collect_garbage", "remove_version"]

GRACE_S: Final = 24 * 3600.0
"""What is younger may belong to a run that goes on."""

_PART_KINDS: Final[tuple[str, ...]] = get_args(PartKind)


class _Closed(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Removed(_Closed):
    """Something that is gone, or would be."""

    path: str = Field(description="relative to the store; a folder stands for all in it")
    kind: str
    files: int
    bytes: int
    age_s: float = Field(description="since its youngest file was written")


class Kept(_Closed):
    """Something that looks abandoned and was left alone."""

    path: str
    why: str


class GcReport(_Closed):
    """What was removed from a store, or would be."""

    store: str
    dry_run: bool
    grace_s: float
    removed: tuple[Removed, ...]
    kept: tuple[Kept, ...]
    bytes: int


def collect_garbage(
    store: Place,
    *,
    now_s: float,
    grace_s: float = GRACE_S,
    parts: bool = False,
    dry_run: bool = False,
) -> GcReport:
    """Remove what runs that were killed left behind, if it is older than the grace time.

    These are hidden folders under ``versions/``; in an object store also versions whose manifest
    never came; temporary files; masks of versions that are not there. A publisher at work keeps its
    hidden folder young. A version with a manifest is never touched.

    Args:
        store: place of the store.
        now_s: Unix time.
        grace_s: how old the youngest file of something must be.
        parts: also parts in ``STORE/parts`` that no version of this store was made from, and
            blueprints of versions that are not there. Other stores may share the parts, and a run
            that has not published yet may want them: they would be made anew.
        dry_run: list, and remove nothing.

    Raises:
        StoreDamagedError: if a tag cannot be read: what it names is not known.
        StorageError: if the store cannot be listed or written.
    """
    sweep = _Sweep(store, now_s=now_s, grace_s=grace_s)
    sweep.versions()
    sweep.masks()
    sweep.temporary_files()
    if parts:
        sweep.parts()
    if not dry_run:
        for found in sweep.found:
            _remove(store, found)
    return GcReport(
        store=str(store),
        dry_run=dry_run,
        grace_s=grace_s,
        removed=tuple(sweep.found),
        kept=tuple(sweep.kept),
        bytes=sum(found.bytes for found in sweep.found),
    )


def remove_version(store: Place, version: str, *, now_s: float, dry_run: bool = False) -> GcReport:
    """Remove one version, its masks and its blueprint; its parts stay.

    Raises:
        StoreNotFoundError: if there is nothing of such a version.
        UsageError: if a tag names it.
        StorageError: if it cannot be removed.
    """
    if not is_version_id(version):
        raise UsageError(f"version must be an id of 16 hex digits, got {version!r}")
    if named := [tag for tag, at in list_tags(store).items() if at == version]:
        raise UsageError(
            f"version to remove must have no tag, {version} has {', '.join(named)}: point "
            f"{'it' if len(named) == 1 else 'them'} at another version first"
        )
    removed = []
    for path, kind in (
        (version_path(version), "version"),
        (f"masks/{version}", "masks"),
        (f"parts/{FOLDER}/{version}.arrow", "blueprint"),
    ):
        place = store / path
        if kind == "blueprint":
            size = place.stat().st_size if has_object(place) else None
            files = {"": FileAge(size, now_s)} if size is not None else {}
        else:
            files = file_ages(place)
        if files:
            removed.append(_removed(path, kind, files=files, now_s=now_s))
    if not removed or removed[0].kind != "version":
        raise StoreNotFoundError(f"version {version} must exist [{store}]")
    if not dry_run:
        # From here on no reader finds it, whatever becomes of the rest.
        (store / version_path(version, MANIFEST)).unlink(missing_ok=True)
        for found in removed:
            _remove(store, found)
    return GcReport(
        store=str(store),
        dry_run=dry_run,
        grace_s=0.0,
        removed=tuple(removed),
        kept=(),
        bytes=sum(found.bytes for found in removed),
    )


class _Sweep:
    """What one pass finds; nothing is removed yet."""

    def __init__(self, store: Place, *, now_s: float, grace_s: float) -> None:
        self._store, self._now_s, self._grace_s = store, now_s, grace_s
        self.found: list[Removed] = []
        self.kept: list[Kept] = []
        self._versions: list[str] = []
        """Ids of which anything stays."""

    def versions(self) -> None:
        """Hidden folders, and versions that never got a manifest."""
        named: set[str] | None = None
        for name in child_names(self._store / "versions"):
            path = f"versions/{name}"
            if name.startswith(HIDDEN_PREFIX):
                self._offer(path, "unfinished_publish")
            elif is_version_id(name):
                if not has_object(self._store / path / MANIFEST):
                    named = self._ever_named() if named is None else named
                    if self._offer_bare(path, version=name, named=named):
                        continue
                self._versions.append(name)

    def _offer_bare(self, path: str, *, version: str, named: set[str]) -> bool:
        if version in named:
            why = "a tag names or named it, but it has no manifest: store repair may mend it"
        elif is_local(self._store):
            # Here a version appears in one rename, with its manifest: it was whole once.
            why = (
                "it has lost its manifest: store repair may mend it, store gc --version removes it"
            )
        else:
            return self._offer(path, "unfinished_version")
        self.kept.append(Kept(path=path, why=why))
        return False

    def _ever_named(self) -> set[str]:
        named = set(list_tags(self._store).values())
        for name in file_ages(self._store / "refs/log"):
            if name.endswith(".json") and not is_unfinished(name):
                entry = parse_json(read_object(self._store / "refs/log" / name))
                named |= {entry.get("version"), entry.get("previous")}
        return named

    def masks(self) -> None:
        """Masks of versions of which nothing is there."""
        for name in child_names(self._store / "masks"):
            if is_version_id(name) and name not in self._versions:
                self._offer(f"masks/{name}", "orphaned_masks")

    def temporary_files(self) -> None:
        """Files of writes that were killed; an object store has none."""
        if not is_local(self._store):
            return
        for top in ("refs", "masks", "versions", "parts"):
            for name, file in file_ages(self._store / top).items():
                if is_unfinished(name) and not name.startswith(HIDDEN_PREFIX):
                    self._offer_file(f"{top}/{name}", "temporary_file", file=file)

    def parts(self) -> None:
        """Parts that no version was made from, and blueprints of versions that are gone."""
        root = self._store / "parts"
        used: set[str] = set()
        for version in self._versions:
            try:
                used |= _part_keys(self._store, version)
            except StoreDamagedError as error:
                why = f"what {version} was made from must be known, got {error}: repair it first"
                self.kept.append(Kept(path="parts", why=why))
                return
        for kind in _PART_KINDS:
            for name, file in file_ages(root / kind).items():
                key = name.rpartition("/")[2].removesuffix(".arrow")
                if name.endswith(".arrow") and key not in used:
                    self._offer_file(f"parts/{kind}/{name}", "unused_part", file=file)
        for name, file in file_ages(root / FOLDER).items():
            if name.endswith(".arrow") and name.removesuffix(".arrow") not in self._versions:
                self._offer_file(f"parts/{FOLDER}/{name}", "orphaned_blueprint", file=file)

    def _offer(self, path: str, kind: str) -> bool:
        files = file_ages(self._store / path)
        place = self._store / path
        if not files and is_local(place):
            files = {"": FileAge(0, place.stat().st_mtime)}
        found = _removed(path, kind, files=files, now_s=self._now_s)
        return self._decide(found)

    def _offer_file(self, path: str, kind: str, *, file: FileAge) -> None:
        self._decide(_removed(path, kind, files={"": file}, now_s=self._now_s))

    def _decide(self, found: Removed) -> bool:
        if found.age_s >= self._grace_s:
            self.found.append(found)
            return True
        why = f"{found.kind}, but only {found.age_s / 3600:.1f} h old: a run may be at work on it"
        self.kept.append(Kept(path=found.path, why=why))
        return False


def _removed(path: str, kind: str, *, files: dict[str, FileAge], now_s: float) -> Removed:
    return Removed(
        path=path,
        kind=kind,
        files=len(files),
        bytes=sum(file.size for file in files.values()),
        age_s=round(max(0.0, now_s - max(file.changed_s for file in files.values())), 1),
    )


def _part_keys(store: Place, version: str) -> set[str]:
    """Return what run record and blueprint name; one of them must be there."""
    keys: set[str] = set()
    fault: StoreDamagedError | None = None
    try:
        for named in read_run_record(store, version).parts.values():
            keys |= set(named.values())
    except StoreDamagedError as error:
        fault = error
    try:
        with open_blueprint(store / "parts", version) as blueprint:
            for take in blueprint.takes():
                all_of = (take.imu_key, take.raw_imu_key, take.frames_key, take.text_key)
                keys |= {key for key in all_of if key is not None}
    except FileNotFoundError:
        if fault is not None:
            raise fault from None
    return keys


def _remove(store: Place, found: Removed) -> None:
    place = store / found.path
    if found.kind == "unfinished_version" and has_object(place / MANIFEST):
        return  # its publisher came back meanwhile
    if found.kind in ("temporary_file", "unused_part", "orphaned_blueprint", "blueprint"):
        place.unlink(missing_ok=True)
    else:
        remove_folder(place)
