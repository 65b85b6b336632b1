"""A finished version appears under its id: at once on a disk, its manifest last elsewhere."""

from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from pipelines.storage.faults import STORE_FIELDS, TEMPORARY_FIELD, storage_faults
from pipelines.storage.files import upload
from pipelines.storage.places import Place, is_local
from pipelines.stores.contents import file_sizes, has_object, is_unfinished
from pipelines.stores.sealed import find_digest_problems
from schemas.errors import StoreDamagedError
from schemas.faults import with_retries
from schemas.store import MANIFEST, RUN, version_path

__all__ = ["Staged", "let_appear", "stage"]

_ATTEMPTS: Final = 5
# Each waits for an answer most of the time.
_COPIES_AT_ONCE: Final = 16
_LAST: Final = (RUN, MANIFEST)


@dataclass(frozen=True, slots=True, kw_only=True)
class Staged:
    """Where the files of a version lie until it has an id."""

    folder: Place
    """Filled by workers: every chunk; on a disk all the rest as well."""
    work: Path
    """Filled by the driver: all the rest; on a disk the same folder."""
    scratch: Place
    """What jobs leave for each other."""

    @property
    def work_fields(self) -> str:
        """What moves the folder that the driver fills."""
        return STORE_FIELDS if self.work == self.folder else TEMPORARY_FIELD


@contextmanager
def stage(hidden: Place, name: str) -> Iterator[Staged]:
    """Yield new folders below a hidden one; what a library writes to a path is on this machine."""
    folder, scratch = hidden / name / "version", hidden / name / "scratch"
    if is_local(folder) and is_local(scratch):
        folder.mkdir(parents=True)
        scratch.mkdir()
        yield Staged(folder=folder, work=folder, scratch=scratch)
        return
    with TemporaryDirectory(prefix="primus-") as work:
        yield Staged(folder=folder, work=Path(work), scratch=scratch)


def let_appear(staged: Staged, *, store: Place, version: str) -> bool:
    """Give the staged files the name of their version; return True if a good one was there already.

    On a disk it is one rename. An object store has none: objects are copied within it, several at
    once, then the run record, the manifest last, without which there is no version. One that is
    there but damaged is mended in place, object by object: whoever reads it meanwhile sees each
    object as it was or as it should be.

    Args:
        staged: all files of the version, run record and manifest among them.
        store: where to.
        version: its id.

    Raises:
        StoreDamagedError: if others keep removing what is put there.
        StorageError: if it cannot be written.
    """
    target = store / version_path(version)
    if _rename(staged.folder, target):
        return False
    sizes = {**file_sizes(staged.folder), **file_sizes(staged.work)}
    wrong: Collection[str] = sizes
    if has_object(target / MANIFEST):
        problems = find_digest_problems(store, version)
        if not problems:
            return True
        found = {problem.loc for problem in problems}
        # Of one whose manifest is not right nothing more was looked at.
        wrong = sizes if MANIFEST in found else found & sizes.keys()
    for _ in range(_ATTEMPTS):
        _put(staged, target, names=wrong)
        there = {n: size for n, size in file_sizes(target).items() if not is_unfinished(n)}
        for extra in there.keys() - sizes.keys():
            _remove(target / extra)
        # Others may have removed what lay there without manifest, thinking it abandoned.
        wrong = {name for name, size in sizes.items() if there.get(name) != size}
        # Two run records of one version tell of two makings, each rightly.
        wrong -= {RUN} & there.keys()
        if not wrong:
            return False
    raise StoreDamagedError(f"version must stay as it was published, others rewrite it [{target}]")


def _rename(folder: Place, target: Place) -> bool:
    if not is_local(folder) or not is_local(target) or target.exists():
        return False
    with storage_faults(target):
        try:
            folder.rename(target)
        except OSError:
            # Another run published the same version in between; look at what it left.
            if target.exists():
                return False
            raise
    return True


def _remove(place: Place) -> None:
    with storage_faults(place):
        with_retries(lambda: place.unlink(missing_ok=True), what=f"remove {place}")


def _put(staged: Staged, target: Place, *, names: Collection[str]) -> None:
    def put(name: str) -> None:
        source = staged.work / name
        if source.is_file():
            upload(source, target / name)
            return
        copied, place = staged.folder / name, target / name
        if is_local(copied) or is_local(place):
            raise StoreDamagedError(f"object must be staged, got none [{copied}]")
        with storage_faults(place):
            with_retries(lambda: place.fs.cp_file(copied.path, place.path), what=f"write {place}")

    first = sorted(set(names).difference(_LAST))
    with ThreadPoolExecutor(max_workers=_COPIES_AT_ONCE) as pool:
        # The iteration raises what a copy did.
        for _ in pool.map(put, first):
            pass
    for name in _LAST:
        if name in names:
            put(name)
