"""From ``URI[@REF]`` on a command line to a store and one of its versions, wherever it lies."""

from pipelines.storage.places import Place, is_local, open_place
from pipelines.stores.refs import read_ref
from schemas.errors import StoreNotFoundError
from schemas.store import parse_store_ref

__all__ = ["open_ref", "open_store"]


def open_store(uri: str) -> Place:
    """Return the place of a store.

    Raises:
        StoreNotFoundError: if it is on this machine and no folder.
        UsageError: if the URI is of a kind that is unknown or not installed.
    """
    store = open_place(uri)
    # An object store has no folders to look for: there an empty one is told by what it lacks.
    if is_local(store) and not store.is_dir():
        raise StoreNotFoundError(f"store must be an existing folder, got {uri}")
    return store


def open_ref(text: str) -> tuple[Place, str]:
    """Return the store and the version id that ``URI[@REF]`` names; without REF the latest.

    Raises:
        StoreNotFoundError: if there is no such store, version or tag.
        UsageError: if the reference has another form.
    """
    ref = parse_store_ref(text)
    store = open_store(ref.uri)
    return store, read_ref(store, ref.ref)
