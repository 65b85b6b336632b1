"""Draw k labelled windows a class."""

from typing import Literal

import numpy as np
import numpy.typing as npt

__all__ = ["draw_shots"]

Ints = npt.NDArray[np.int64]


def _spread(places: Ints, takes: Ints, *, generator: np.random.Generator) -> Ints:
    """Order ``places`` so that each round visits every take once, as long as it lasts."""
    seen: dict[int, int] = {}
    rounds = np.empty(len(places), dtype=np.int64)
    for i, take in enumerate(takes):
        rounds[i] = seen.get(int(take), 0)
        seen[int(take)] = int(rounds[i]) + 1
    turn = dict(zip(sorted(seen), generator.permutation(len(seen)), strict=True))
    turns = np.array([turn[int(take)] for take in takes], dtype=np.int64)
    return places[np.lexsort((turns, rounds))]


def draw_shots(
    labels: Ints,
    takes: Ints,
    *,
    classes: int,
    shots: int,
    by: Literal["segment", "take"],
    seed: int,
) -> Ints:
    """Return ``shots`` places of each class; more shots of one seed contain fewer.

    By segment, every window of a class is as likely as any other. By take, the class's takes get
    a random order and give one window each, then a second one each, and so on: k shots come from
    as many takes as there are, and no take gives two more than another that still has some.

    Args:
        labels: (n,) class of each window.
        takes: (n,) number of the take each window lies in.
        classes: K.
        shots: k; each class must have as many windows.
        by: what is drawn evenly.
        seed: of the draw.

    Returns:
        (K k,) places, class by class.
    """
    generator = np.random.default_rng(seed)
    chosen = []
    for k in range(classes):
        places = generator.permutation(np.flatnonzero(labels == k))
        if by == "take":
            places = _spread(places, takes[places], generator=generator)
        chosen.append(places[:shots])
    return np.concatenate(chosen)
