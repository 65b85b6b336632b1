"""Check a published version, object by object and row by row; every problem names its object."""

from collections.abc import Callable, Iterator
from functools import partial

import pyarrow as pa

from pipelines.storage.files import local_copy
from pipelines.storage.places import Place
from pipelines.stores.sealed import find_digest_problems, read_manifest, read_run_record
from pipelines.stores.verify_arrays import find_layout_problems, find_row_problems
from pipelines.stores.verify_beside import find_mask_problems, find_tag_problems
from pipelines.stores.verify_manifest import find_manifest_problems
from pipelines.stores.verify_tables import find_quarantine_problems, find_table_problems
from schemas.errors import Problem, StoreDamagedError
from schemas.manifest import Manifest
from schemas.store import ARRAYS, MANIFEST, QUARANTINE, SEGMENTS, version_path

__all__ = ["find_digest_problems", "read_manifest", "read_run_record", "verify_version"]

Told = Callable[[str, int, int], None]


def verify_version(store: Place, version: str, *, progress: Told | None = None) -> list[Problem]:
    """Return everything wrong with a version; an empty list means it is whole and sound.

    Digests come first; the content is read as well, so that a version that was wrong when it was
    sealed is found too: counts, schema, order, ids and spread of its table, layout of its arrays,
    values that are not finite or of another norm, and rows of one time or sentence that differ. Its
    masks and the store's tags follow. Memory is bounded by one chunk of rows a core, and one
    column of the table.

    Args:
        store: place of the store.
        version: id of the version.
        progress: told what is checked (``digests`` or ``rows``), how many bytes or rows of it are,
            and how many there are.

    Raises:
        NewerFormatError: if a newer format wrote it.
        StorageError: if the store cannot be read.
    """
    problems = find_digest_problems(
        store, version, progress=partial(progress, "digests") if progress is not None else None
    )
    if not any(p.loc == MANIFEST for p in problems):
        manifest = read_manifest(store, version)
        problems += find_manifest_problems(store, version, manifest=manifest)
        folder = store / version_path(version)
        problems += _content(QUARANTINE, partial(_quarantine, folder, manifest))
        problems += _content(
            SEGMENTS,
            partial(_rows, folder, manifest, store, version, found=problems, progress=progress),
        )
        problems += _content("refs", partial(find_tag_problems, store))
    return problems


def _content(loc: str, find: Callable[[], Iterator[Problem]]) -> list[Problem]:
    """Collect problems; a file too broken to be read is one of them."""
    problems: list[Problem] = []
    try:
        problems.extend(find())
    except (pa.ArrowException, StoreDamagedError, OSError, ValueError, KeyError) as error:
        problems.append(Problem(loc, f"must be readable, got {error!s:.200}", "unreadable"))
    return problems


def _quarantine(folder: Place, manifest: Manifest) -> Iterator[Problem]:
    with local_copy(folder / QUARANTINE) as path:
        yield from find_quarantine_problems(path, manifest=manifest)


def _rows(
    folder: Place,
    manifest: Manifest,
    store: Place,
    version: str,
    *,
    found: list[Problem],
    progress: Told | None,
) -> Iterator[Problem]:
    # One copy of the table serves all that is compared with it.
    with local_copy(folder / SEGMENTS) as table:
        in_table = _content(SEGMENTS, partial(find_table_problems, table, manifest=manifest))
        in_arrays = _content(ARRAYS, partial(find_layout_problems, folder, manifest=manifest))
        yield from [*in_table, *in_arrays]
        known = [*found, *in_table, *in_arrays]
        in_rows = any(p.loc == SEGMENTS and p.kind in ("counts", "schema") for p in in_table)
        if not in_rows and not any(p.kind in ("missing", "layout", "unreadable") for p in known):
            yield from _content(
                ARRAYS,
                partial(
                    find_row_problems,
                    folder,
                    table=table,
                    manifest=manifest,
                    altered=frozenset(p.loc for p in known),
                    progress=partial(progress, "rows") if progress is not None else None,
                ),
            )
        if not any(p.loc == SEGMENTS for p in known):
            yield from _content("masks", partial(find_mask_problems, store, version, table=table))
