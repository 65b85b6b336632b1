"""Sentences that describe activity classes, for classifiers that know classes by words alone.

Half of them are captions, half are put as the cleaned narrations of the datasets are: those are
what an IMU encoder was trained to be near. They are ours; the papers print none.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from schemas.errors import UsageError

__all__ = ["CLASS_PROMPTS", "TEMPLATES", "choose_prompts"]

TEMPLATES: Final = (
    "a person: {}",
    "a person doing this: {}",
    "a video of {}",
    "activity: {}",
    "{}",
)
"""Of a class without sentences of its own."""

CLASS_PROMPTS: Final[Mapping[str, tuple[str, ...]]] = {
    # Ego-Exo4D
    "play music": (
        "a person is playing a musical instrument",
        "a musician practices a song",
        "plays the guitar with both hands",
        "presses the keys of the piano",
        "moves the bow across the violin",
    ),
    "cook": (
        "a person is cooking in a kitchen",
        "someone prepares a meal",
        "stirs the food in the pan with a spatula",
        "cuts the vegetable on the chopping board with a knife",
        "pours oil into the frying pan on the stove",
    ),
    "medical test": (
        "a person is taking a medical test at home",
        "someone performs a rapid antigen test",
        "inserts the swab into the nostril",
        "opens the test kit on the table",
        "squeezes drops from the tube onto the test strip",
    ),
    "perform CPR": (
        "a person is performing cpr on a manikin",
        "someone gives first aid",
        "presses the chest of the manikin with both hands",
        "does chest compressions on the dummy",
        "tilts the head of the manikin and breathes into it",
    ),
    "repair bike": (
        "a person is repairing a bicycle",
        "a mechanic works on a bike",
        "removes the tire from the rim with a tire lever",
        "turns the pedal of the bicycle with the hand",
        "tightens the bolt of the wheel with a wrench",
    ),
    "climb rock": (
        "a person is climbing a rock wall",
        "a boulderer climbs indoors",
        "grips the hold on the climbing wall with the right hand",
        "steps on the foothold and pulls up",
        "drops from the climbing wall onto the mat",
    ),
    "soccer": (
        "a person is playing soccer",
        "a football player trains on the field",
        "kicks the ball with the right foot",
        "dribbles the ball around the cones",
        "juggles the ball with the thigh",
    ),
    "dance": (
        "a person is dancing",
        "a dancer rehearses a choreography",
        "swings both arms and turns around",
        "steps to the left in rhythm with the music",
        "jumps and spins on one leg",
    ),
    # Ego4D
    "eat": (
        "a person is eating a meal",
        "someone has food at a table",
        "puts the spoon into the mouth",
        "chews the food",
        "picks up a piece of bread from the plate",
    ),
    "clean": (
        "a person is cleaning the house",
        "someone does the laundry",
        "wipes the table with a cloth",
        "sweeps the floor with a broom",
        "hangs the wet clothes on the line",
    ),
    "carpenter": (
        "a carpenter is working with wood",
        "someone builds furniture in a workshop",
        "cuts the plank of wood with a saw",
        "hammers a nail into the wood",
        "smooths the wood with a sander",
    ),
    "craft": (
        "a person is making crafts by hand",
        "someone knits, sews or paints",
        "pulls the thread through the cloth with a needle",
        "dips the paint brush into the paint",
        "folds the paper and cuts it with scissors",
    ),
    "farmer": (
        "a farmer is working in the field",
        "someone harvests crops",
        "digs the soil with a hoe",
        "picks leaves from the plants",
        "pulls weeds out of the ground",
    ),
    "household": (
        "a person is looking after children at home",
        "a parent takes care of a child",
        "holds the baby in both arms",
        "gives a toy to the child",
        "puts the child's clothes into the wardrobe",
    ),
    "walk": (
        "a person is walking on a street",
        "a pedestrian walks through the city",
        "walks along the road",
        "crosses the street",
        "looks around while walking on the pavement",
    ),
    "construction": (
        "a worker is building a house",
        "someone renovates a room on a construction site",
        "spreads mortar on the wall with a trowel",
        "lays a brick on the wall",
        "drills a hole into the wall",
    ),
    # RealWorld
    "climbing down": (
        "a person is walking down the stairs",
        "someone descends a staircase",
        "goes down the steps",
        "walks downstairs holding the rail",
        "steps down to the floor below",
    ),
    "climbing up": (
        "a person is walking up the stairs",
        "someone ascends a staircase",
        "goes up the steps",
        "walks upstairs holding the rail",
        "climbs the stairs to the floor above",
    ),
    "jumping": (
        "a person is jumping",
        "someone jumps up and down in place",
        "jumps with both feet",
        "hops on the spot",
        "leaps into the air and lands",
    ),
    "lying": (
        "a person is lying down",
        "someone rests on a bed",
        "lies on the back without moving",
        "lies on the sofa",
        "stays still on the floor",
    ),
    "running": (
        "a person is running",
        "a jogger runs outdoors",
        "runs fast along the path",
        "jogs through the park",
        "sprints down the road",
    ),
    "sitting": (
        "a person is sitting",
        "someone sits at a desk",
        "sits on the chair without moving",
        "sits still and looks ahead",
        "rests on the bench",
    ),
    "standing": (
        "a person is standing",
        "someone stands upright in place",
        "stands still without walking",
        "stands and looks around",
        "waits on both feet",
    ),
    "walking": (
        "a person is walking",
        "someone walks at an easy pace",
        "walks forward",
        "walks along the path",
        "takes steps at a steady speed",
    ),
}
"""Class: its sentences, of the labels that our readers give."""


def choose_prompts(
    labels: Sequence[str], *, given: Mapping[str, Sequence[str]]
) -> dict[str, tuple[str, ...]]:
    """Return the sentences of each class: as given, else our own, else its name in templates.

    Args:
        labels: classes wanted.
        given: class: sentences; these classes are wanted too.

    Raises:
        UsageError: if there is no class, or one is given without sentences or with an empty one.
    """
    for label, sentences in given.items():
        if not sentences or not all(sentence.strip() for sentence in sentences):
            raise UsageError(
                f"class {label!r} must have sentences, none of them empty, got {list(sentences)}"
            )
    known = {**CLASS_PROMPTS, **{label: tuple(said) for label, said in given.items()}}
    wanted = dict.fromkeys((*labels, *given))
    if not wanted or not all(label.strip() for label in wanted):
        raise UsageError(f"classes must have names and be at least one, got {list(wanted)}")
    return {
        # A sentence that is there twice says no more than once.
        label: tuple(dict.fromkeys(known.get(label) or (form.format(label) for form in TEMPLATES)))
        for label in wanted
    }
