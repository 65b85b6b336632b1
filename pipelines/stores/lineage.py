"""Read where a version of a store comes from."""

import json

from pydantic import ValidationError

from pipelines.storage.places import Place
from pipelines.stores.masks import list_masks, read_mask_record
from pipelines.stores.refs import list_tags
from pipelines.stores.sealed import read_manifest, read_run_record
from schemas.errors import StoreDamagedError
from schemas.lineage import Lineage, TagEvent, make_lineage, print_lineage

__all__ = ["print_lineage", "read_lineage"]


def read_lineage(store: Place, version: str) -> Lineage:
    """Return what a version was made from, by what, and what names it.

    Args:
        store: place of the store.
        version: id of the version.

    Raises:
        StoreNotFoundError: if there is no such version.
        StoreDamagedError: if manifest, run record, a mask's record or a tag cannot be trusted.
    """
    manifest = read_manifest(store, version)
    record = read_run_record(store, version)
    return make_lineage(
        manifest,
        version=version,
        record=record,
        store=str(store),
        masks=[read_mask_record(store, version, name) for name in list_masks(store, version)],
        tags=[tag for tag, named in list_tags(store).items() if named == version],
        tag_history=_read_events(store, version),
    )


def _read_events(store: Place, version: str) -> list[TagEvent]:
    """Return when tags came to a version or left it, by time."""
    events = []
    for place in store.glob("refs/log/*/*.json"):
        try:
            event = TagEvent.model_validate(
                {**json.loads(place.read_bytes()), "tag": place.parent.name}
            )
        except (ValueError, TypeError, ValidationError) as error:
            raise StoreDamagedError(
                f"tag log must hold at_ns, previous and version [{place}]"
            ) from error
        if version in (event.version, event.previous):
            events.append(event)
    return sorted(events, key=lambda event: (event.at_ns, event.tag, event.version))
