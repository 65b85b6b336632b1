"""Which parts lie in a place and how large they are, by one listing of each kind."""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Final, TypeAlias, get_args

from pipelines.parts.store import PartKind
from pipelines.storage.faults import storage_faults
from pipelines.storage.places import Place, is_local
from schemas.faults import with_retries

__all__ = ["PartSizes", "list_parts"]

PartSizes: TypeAlias = Mapping[tuple[str, str], int]
"""(kind, key): bytes."""

_KINDS: Final[tuple[str, ...]] = get_args(PartKind)
_SUFFIX: Final = ".arrow"


def list_parts(root: Place) -> PartSizes:
    """Return every part under ``root``; none where there is no such place.

    Raises:
        StorageError: if the place does not answer.
    """
    found: dict[tuple[str, str], int] = {}
    for kind in _KINDS:
        folder = root / kind
        with storage_faults(folder):
            for name, size in _files(folder):
                if name.endswith(_SUFFIX) and not name.startswith("."):
                    found[kind, name.removesuffix(_SUFFIX)] = size
    return found


def _files(folder: Place) -> Iterator[tuple[str, int]]:
    if is_local(folder):
        for path in folder.glob(f"*/*{_SUFFIX}"):
            # One that is being replaced or collected may be gone by now.
            with suppress(FileNotFoundError):
                yield path.name, path.stat().st_size
        return
    try:
        listed = with_retries(
            lambda: folder.fs.find(folder.path, detail=True), what=f"list {folder}"
        )
    except FileNotFoundError:
        return
    for name, info in listed.items():
        yield name.rpartition("/")[2], int(info["size"] or 0)
