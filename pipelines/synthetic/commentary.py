"""A second text of a synthetic dataset: ``expert_commentary_{train,val}.json``."""

from typing import Any, Final

import numpy as np

from pipelines.synthetic.activities import ACTIVITIES
from pipelines.synthetic.plan import make_uid
from pipelines.synthetic.truth import DatasetTruth, TakeTruth

__all__ = ["make_commentary"]

_FPS: Final = 30
_REMARKS: Final = (
    "So here you can see that he keeps a steady pace, which is what I would want to see.",
    "I'd like the hands to be a little lower at this point; that would be more efficient.",
    "This is a good example of staying relaxed.",
    "She could look further ahead before she starts the next step.",
)


def make_commentary(truth: DatasetTruth, *, file_split: str) -> dict[str, Any]:
    """Return the content of ``expert_commentary_<file_split>.json``.

    Every other take has the remarks of one expert, a few seconds apart; the last recording of each
    could not be transcribed. Takes of the test split stand in the val file.

    Args:
        truth: the dataset.
        file_split: train or val.
    """
    annotations = {
        take.take_uid: [_make_expert(take)]
        for take in truth.takes[::2]
        if (take.split == "train") == (file_split == "train")
    }
    return {"ds": "2024-03-27", "annotations": annotations}


def _make_expert(take: TakeTruth) -> dict[str, Any]:
    rng = np.random.default_rng([take.seed, 13])
    duration_s = take.frames / _FPS
    recordings: list[dict[str, Any]] = []
    t_s = float(rng.uniform(0.3, 2.0))
    while t_s < duration_s:
        recordings.append(
            {
                "recording": f"{make_uid(take.seed, 'recording', len(recordings))}.webm",
                "video_time": round(t_s, 6),
                "text": str(rng.choice(_REMARKS)),
                "duration_approx": round(float(rng.uniform(3, 15)), 3),
                "error": None,
            }
        )
        t_s += float(rng.uniform(3, 9))
    recordings[-1].update(text=None, error="no speech")
    activity = ACTIVITIES[take.activity]
    return {
        "take_name": take.take_name,
        "take_uid": take.take_uid,
        "task_id": activity.task_id,
        "task_name": activity.task_name,
        "commentary": f"{take.take_name}/expert_{int(rng.integers(20)):02d}",
        "commentary_data": recordings,
    }
