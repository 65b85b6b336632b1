"""Who wears the cameras of a synthetic dataset, and what they do one after the other."""

import numpy as np

from pipelines.synthetic.activities import SUB_ACTIONS
from pipelines.synthetic.truth import ParticipantTruth, SubActionTruth

__all__ = ["make_participant", "make_people", "make_schedule", "split_of"]


def make_people(participants: int, *, seed: int) -> list[ParticipantTruth]:
    """Return the people of a dataset of this seed."""
    return [make_participant(number, seed=seed) for number in range(participants)]


def make_participant(number: int, *, seed: int) -> ParticipantTruth:
    """Return how person ``number`` of a dataset of this seed differs from the others."""
    rng = np.random.default_rng([seed, 3, number])
    tilt = np.deg2rad(rng.uniform(-4, 4, 2))
    return ParticipantTruth(
        participant_uid=101 + number,
        tempo=float(rng.uniform(0.94, 1.06)),
        amplitude=float(rng.uniform(0.9, 1.1)),
        noise=float(rng.uniform(0.7, 1.4)),
        brightness=float(rng.uniform(-4, 4)),
        hue_rad=float(rng.uniform(-0.1, 0.1)),
        tilt_pitch_rad=float(tilt[0]),
        tilt_roll_rad=float(tilt[1]),
    )


def split_of(person: int, *, participants: int, index: int) -> str:
    """Return the official split of take ``index``, worn by ``person``.

    By participant where there are enough of them; else the official split shares participants.
    """
    if participants >= 3:
        return {participants - 1: "test", participants - 2: "val"}.get(person, "train")
    return ("train", "val", "test")[index % 3]


def make_schedule(seconds: float, *, rng: np.random.Generator) -> tuple[SubActionTruth, ...]:
    """Return sub-actions that fill ``seconds``, drawn from ``rng``.

    Each lasts 4 to 9 s, none follows itself; a rest too short to stand alone joins the last.
    """
    parts: list[SubActionTruth] = []
    start_s, previous = 0.0, -1
    while start_s < seconds:
        end_s = start_s + float(rng.uniform(4, 9))
        if seconds - end_s < 4:
            end_s = seconds
        choices = [number for number in range(len(SUB_ACTIONS)) if number != previous]
        previous = int(rng.choice(choices))
        parts.append(SubActionTruth(sub_action=previous, start_s=start_s, end_s=end_s))
        start_s = end_s
    return tuple(parts)
