"""What frozen encoders would say of hard takes: video tells the activity, but not cleanly.

A frame's embedding is the sum of a direction for its activity, one for its sub-action, one for its
take (place, light, person: stronger than either, and of no use for another take) and what the
moment shows. A sentence names a sub-action of an activity in one of a few ways, and some sentences
name another one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from pipelines.synthetic.activities import ACTIVITIES, SUB_ACTIONS

__all__ = ["HardSentence", "draw_hard_sentence", "make_hard_frames"]

_ACTIVITY: Final = 1.0
_SUB_ACTION: Final = 0.7
_TAKE: Final = 1.3
_MOMENT: Final = 0.6
_FRAME: Final = 0.5
"""Lengths of what a frame's embedding is the sum of."""
_NAMED_ACTIVITY: Final = 0.6
_NAMED_SUB_ACTION: Final = 1.0
_NAMED_HOW: Final = 0.7
"""Lengths of what a sentence's embedding is the sum of."""
_WRONG: Final = 0.2
"""Share of sentences about something else."""
_HOW: Final = ("slowly", "again", "with both hands", "a little", "for a while", "at once")
# What a number of a seed is for, so that no two meanings share a direction.
_OF_ACTIVITY, _OF_SUB_ACTION, _SAID_OF_ACTIVITY, _SAID_OF_SUB_ACTION, _SAID_HOW = range(5)


@dataclass(frozen=True, slots=True)
class HardSentence:
    """What a narrator says: the numbers of an activity, its sub-action, and of how it is done."""

    activity: int
    sub_action: int
    how: int

    @property
    def text(self) -> str:
        """The sentence, cleaned."""
        name = ACTIVITIES[self.activity].label
        return f"does step {self.sub_action + 1} of {name} {_HOW[self.how]}"

    def embedding(self, dim: int) -> npt.NDArray[np.float16]:
        """Return the sentence's embedding (dim,), the same whenever it is said."""
        said = (self.activity, self.sub_action)
        summed = (
            _NAMED_ACTIVITY * _direction(_seeded(_SAID_OF_ACTIVITY, self.activity), dim=dim)
            + _NAMED_SUB_ACTION * _direction(_seeded(_SAID_OF_SUB_ACTION, *said), dim=dim)
            + _NAMED_HOW * _direction(_seeded(_SAID_HOW, *said, self.how), dim=dim)
        )
        return summed.astype(np.float16)


def draw_hard_sentence(activity: int, *, sub_action: int, rng: np.random.Generator) -> HardSentence:
    """Return what is said of a window; of some, something that is not so."""
    if rng.uniform() < _WRONG:
        activity = int(rng.integers(len(ACTIVITIES)))
        sub_action = int(rng.integers(len(SUB_ACTIONS)))
    return HardSentence(activity, sub_action, int(rng.integers(len(_HOW))))


def make_hard_frames(
    activity: int,
    *,
    sub_actions: Sequence[int],
    frames_each: int,
    dim: int,
    rng: np.random.Generator,
) -> npt.NDArray[np.float16]:
    """Return the embeddings (len(sub_actions) * frames_each, dim) of a take's frames.

    Args:
        activity: of the take.
        sub_actions: of each window.
        frames_each: frames of a window.
        dim: D.
        rng: of the take, the moments and the frames; what activities look like is the same for all.
    """
    take = _TAKE * _direction(rng, dim=dim)
    windows = [
        _ACTIVITY * _direction(_seeded(_OF_ACTIVITY, activity), dim=dim)
        + _SUB_ACTION * _direction(_seeded(_OF_SUB_ACTION, activity, sub_action), dim=dim)
        + take
        + _MOMENT * _direction(rng, dim=dim)
        for sub_action in sub_actions
    ]
    frames = np.repeat(windows, frames_each, axis=0)
    noise = _FRAME / np.sqrt(dim) * rng.normal(size=frames.shape)
    seen: npt.NDArray[np.float16] = (frames + noise).astype(np.float16)
    return seen


def _direction(rng: np.random.Generator, *, dim: int) -> npt.NDArray[np.float64]:
    drawn = rng.normal(size=dim)
    unit: npt.NDArray[np.float64] = drawn / np.linalg.norm(drawn)
    return unit


def _seeded(*meaning: int) -> np.random.Generator:
    return np.random.default_rng([20_250_406, *meaning])
