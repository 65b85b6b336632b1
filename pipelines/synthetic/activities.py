"""The eight activities a synthetic dataset shows: their names, and how each one moves.

Every activity mixes a few bands of motion; each of its four sub-actions shifts their pace and
their axes. What tells activities apart is the shape of the spectrum, the mix of axes and
how the head is held, since an encoder that normalises each sensor's triad never sees the scale.
Each activity has slow bands that a person would recognise and one fast band a sensor (4 to 17 Hz,
tremor and impacts), which an encoder that pools over fifths of a second keeps as strength.
"""

from dataclasses import dataclass
from typing import Final

__all__ = ["ACTIVITIES", "SUB_ACTIONS", "Activity", "Band", "SubAction"]


@dataclass(frozen=True, slots=True)
class Band:
    """Motion about one frequency on one axis.

    ``axis``: 0 yaw, 1 pitch, 2 roll (``rms`` in rad/s); 3, 4, 5 linear acceleration along device
    x, y, z (``rms`` in m/s2).
    """

    axis: int
    hz: float
    rms: float


@dataclass(frozen=True, slots=True)
class SubAction:
    """How one sub-action bends its activity's motion: pace, gain on each of the six axes, pose."""

    pace: float
    gains: tuple[float, float, float, float, float, float]
    pitch_deg: float
    roll_deg: float


@dataclass(frozen=True, slots=True)
class Activity:
    """One class: label, how takes are named, the dataset's task, and how the head moves.

    ``pitch_deg`` (positive looks down) and ``roll_deg`` (positive tilts clockwise) are how the
    head is held while the bands move it.
    """

    label: str
    name_stem: str
    task_id: int
    task_name: str
    parent_task_name: str
    pitch_deg: float
    roll_deg: float
    bands: tuple[Band, ...]


# Shared by all activities, in an order that each activity turns by its own number (see motion.py).
SUB_ACTIONS: Final = (
    SubAction(1.0, (1.0, 1.0, 1.0, 1.0, 1.0, 1.0), -8.0, -5.0),
    SubAction(0.7, (1.5, 0.8, 0.7, 0.7, 1.5, 1.0), 8.0, -5.0),
    SubAction(1.45, (0.8, 1.4, 0.8, 1.4, 0.7, 0.8), -8.0, 5.0),
    SubAction(1.1, (0.8, 0.8, 1.8, 0.8, 1.0, 1.6), 8.0, 5.0),
)

ACTIVITIES: Final = (
    Activity(
        label="medical test",
        name_stem="upenn_covidtest",
        task_id=2001,
        task_name="Covid-19 Rapid Antigen Test",
        parent_task_name="Health",
        pitch_deg=30.0,
        roll_deg=-10.0,
        bands=(
            Band(0, 0.45, 0.35),
            Band(1, 0.7, 0.35),
            Band(2, 0.5, 0.12),
            Band(3, 0.9, 0.5),
            Band(4, 1.3, 0.6),
            Band(5, 0.7, 0.6),
            Band(3, 5.0, 3.5),
            Band(1, 8.0, 0.5),
        ),
    ),
    Activity(
        label="repair bike",
        name_stem="fair_bike",
        task_id=4001,
        task_name="Remove a Wheel",
        parent_task_name="Bike Repair",
        pitch_deg=55.0,
        roll_deg=-10.0,
        bands=(
            Band(0, 0.6, 0.25),
            Band(1, 1.2, 0.45),
            Band(2, 2.4, 0.35),
            Band(3, 1.2, 0.8),
            Band(4, 3.4, 1.4),
            Band(5, 2.4, 1.0),
            Band(4, 5.0, 3.5),
            Band(2, 10.5, 0.5),
        ),
    ),
    Activity(
        label="climb rock",
        name_stem="minnesota_rockclimbing",
        task_id=7001,
        task_name="Rock Climbing",
        parent_task_name="Rock Climbing",
        pitch_deg=-25.0,
        roll_deg=10.0,
        bands=(
            Band(0, 0.35, 0.3),
            Band(1, 0.4, 0.5),
            Band(2, 0.8, 0.25),
            Band(3, 0.6, 1.8),
            Band(4, 0.9, 1.2),
            Band(5, 1.8, 0.8),
            Band(5, 6.5, 3.5),
            Band(0, 4.5, 0.5),
        ),
    ),
    Activity(
        label="soccer",
        name_stem="uniandes_soccer",
        task_id=8001,
        task_name="Soccer Drills - Dribbling",
        parent_task_name="Soccer",
        pitch_deg=5.0,
        roll_deg=10.0,
        bands=(
            Band(0, 1.3, 0.4),
            Band(1, 2.7, 0.5),
            Band(2, 1.35, 0.25),
            Band(3, 2.7, 3.2),
            Band(3, 5.4, 1.6),
            Band(4, 1.35, 1.2),
            Band(5, 2.7, 1.2),
            Band(3, 6.5, 3.5),
            Band(1, 6.0, 0.5),
        ),
    ),
    Activity(
        label="perform CPR",
        name_stem="nus_cpr",
        task_id=2002,
        task_name="First Aid - CPR",
        parent_task_name="Health",
        pitch_deg=55.0,
        roll_deg=10.0,
        bands=(
            Band(0, 0.5, 0.2),
            Band(1, 1.8, 0.55),
            Band(2, 0.9, 0.15),
            Band(3, 1.8, 2.6),
            Band(3, 3.6, 0.8),
            Band(5, 1.8, 1.4),
            Band(4, 8.5, 3.5),
            Band(2, 8.0, 0.5),
        ),
    ),
    Activity(
        label="cook",
        name_stem="georgiatech_cooking",
        task_id=1001,
        task_name="Cooking an Omelet",
        parent_task_name="Cooking",
        pitch_deg=30.0,
        roll_deg=10.0,
        bands=(
            Band(0, 0.7, 0.5),
            Band(1, 0.5, 0.25),
            Band(2, 2.0, 0.2),
            Band(3, 0.8, 0.5),
            Band(4, 2.1, 1.2),
            Band(5, 1.2, 0.6),
            Band(5, 8.5, 3.5),
            Band(0, 10.5, 0.5),
        ),
    ),
    Activity(
        label="dance",
        name_stem="unc_dance",
        task_id=9001,
        task_name="Performing a Basic Choreography",
        parent_task_name="Dance",
        pitch_deg=-25.0,
        roll_deg=-10.0,
        bands=(
            Band(0, 1.0, 0.6),
            Band(1, 2.0, 0.3),
            Band(2, 1.0, 0.35),
            Band(3, 2.0, 2.2),
            Band(4, 1.0, 2.0),
            Band(5, 0.5, 0.8),
            Band(3, 11.0, 3.5),
            Band(1, 4.5, 0.5),
        ),
    ),
    Activity(
        label="play music",
        name_stem="upenn_guitar",
        task_id=5001,
        task_name="Playing Guitar",
        parent_task_name="Music",
        pitch_deg=5.0,
        roll_deg=-10.0,
        bands=(
            Band(0, 0.8, 0.3),
            Band(1, 0.9, 0.25),
            Band(2, 1.6, 0.4),
            Band(3, 1.6, 0.5),
            Band(4, 4.2, 1.0),
            Band(4, 0.8, 0.6),
            Band(5, 3.2, 0.6),
            Band(4, 11.0, 3.5),
            Band(2, 6.0, 0.5),
        ),
    ),
)
