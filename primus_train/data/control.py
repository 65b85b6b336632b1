"""Break the pairing of IMU and video on purpose: control experiments.

An encoder pretrained on permuted video shows how much of a result rests on the pairing of each
window with its own video (``takes``), or only on the activity they share (``label``).
"""

import numpy as np
import numpy.typing as npt

from primus_train.data.store import StoreData
from schemas.errors import UsageError

__all__ = ["permuted_video"]


def _across_groups(
    groups: npt.NDArray[np.int64], *, generator: np.random.Generator
) -> npt.NDArray[np.int64]:
    """Return a random permutation of the places in which none keeps its own group.

    A uniform permutation is drawn; each place that kept its group is then exchanged with a random
    place such that both are right afterwards. One exists while no group holds more than half.
    """
    order = generator.permutation(len(groups))
    for place in np.flatnonzero(groups[order] == groups):
        group = groups[place]
        if groups[order[place]] != group:
            continue
        partners = np.flatnonzero((groups != group) & (groups[order] != group))
        partner = generator.choice(partners)
        order[place], order[partner] = order[partner], order[place]
    return order


def permuted_video(
    store: StoreData, rows: npt.NDArray[np.int64], *, across: str, seed: int
) -> npt.NDArray[np.int64]:
    """Return for every row of the store the row whose video it shows, (N,).

    Only those of ``rows`` that show video are permuted, among themselves.

    Args:
        store: the version in memory.
        rows: the train rows.
        across: ``takes``: every row gets the video of another take; ``label``: of a random row of
            its label (perhaps its own), rows without a label among themselves.
        seed: of the permutation.

    Raises:
        UsageError: if one take holds more than half of the rows with video, under ``takes``.
    """
    generator = np.random.default_rng(seed)
    video_of = np.arange(len(store), dtype=np.int64)
    shown = rows[store.valid[rows, 1].numpy()]
    if len(shown) == 0:
        return video_of
    column = store.column("take_uid" if across == "takes" else "label")[shown]
    # A label is told from a missing one: names are tagged, None stays apart.
    tagged = np.array(["" if value is None else f"={value}" for value in column])
    _, groups, counts = np.unique(tagged, return_inverse=True, return_counts=True)
    if across == "takes":
        if 2 * int(counts.max()) > len(shown):
            raise UsageError(
                "data.permute_video=takes needs no take to hold more than half of the train rows "
                f"with video, got {int(counts.max())} of {len(shown)}"
            )
        video_of[shown] = shown[_across_groups(groups, generator=generator)]
        return video_of
    for group in range(len(counts)):
        members = shown[groups == group]
        video_of[members] = generator.permutation(members)
    return video_of
