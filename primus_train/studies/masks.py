"""The masks of a version that leave video and text to a share of its train segments."""

import math
from collections.abc import Mapping, Sequence

from primus_train.data.places import Place, ask, open_root
from primus_train.data.version import StoreIdentity, read_mask_record
from schemas.errors import UsageError
from schemas.mask import MaskRecord
from schemas.store import mask_path

__all__ = ["find_masks", "list_masks"]

_SUFFIX = ".json"


def list_masks(root: Place, version: str) -> tuple[str, ...]:
    """Return the names of a version's masks, sorted."""
    folder = (root / mask_path(version, "any", "json")).parent
    try:
        found = ask(lambda: [place.name for place in folder.iterdir()], place=folder)
    except (FileNotFoundError, NotADirectoryError):
        return ()
    names = (name.removesuffix(_SUFFIX) for name in found if name.endswith(_SUFFIX))
    return tuple(sorted(name for name in names if not name.startswith(".")))


def find_masks(
    store: StoreIdentity, *, shares: Sequence[float], named: Mapping[str, float]
) -> dict[float, MaskRecord | None]:
    """Return the mask of each share: one that is named, else the one whose recipe says so.

    Args:
        store: the version.
        shares: wanted; 1 needs no mask, and has None unless one is named.
        named: name of a mask: the share it stands for.

    Raises:
        UsageError: if a share has no mask, with the command that makes it, or several.
    """
    root = open_root(store.uri)
    records = {
        name: read_mask_record(root, store.version, name)
        for name in (*list_masks(root, store.version), *named)
    }
    found: dict[float, MaskRecord | None] = {}
    missing: list[float] = []
    for share in shares:
        mine = [name for name, of in named.items() if math.isclose(of, share)]
        fitting = mine or [name for name, record in records.items() if _fits(record, share)]
        if not mine and share == 1:
            found[share] = None
        elif len(fitting) > 1:
            raise UsageError(
                f"share {share:g} must have one mask, {' and '.join(fitting)} fit: name one, "
                f"such as --masks {fitting[0]}={share:g} [version={store.version}]"
            )
        elif not fitting:
            missing.append(share)
        else:
            found[share] = records[fitting[0]]
    if missing:
        commands = "; ".join(
            f"primus-prep mask {store.pinned} --name keep{100 * share:g} --keep {share:g} "
            "--modalities video,text --unit segment --seed 0"
            for share in missing
        )
        raise UsageError(
            f"shares {', '.join(f'{share:g}' for share in missing)} must have a mask of video and "
            f"text, found none: run {commands} [version={store.version}]"
        )
    return found


def _fits(record: MaskRecord, share: float) -> bool:
    hides_both = set(record.spec.modalities) == {"video", "text"}
    return hides_both and math.isclose(record.spec.keep, share)
