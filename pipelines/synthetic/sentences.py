"""What annotators would say: sentences with a vocabulary of their own for every sub-action."""

from bisect import bisect_right
from collections.abc import Sequence
from typing import Final

import numpy as np

from pipelines.synthetic.truth import SubActionTruth

__all__ = ["VOCABULARY", "make_sentence", "make_sentences"]

# [activity][sub-action] = (verbs, objects); indices as in ``activities``.
VOCABULARY: Final[tuple[tuple[tuple[tuple[str, ...], tuple[str, ...]], ...], ...]] = (
    (
        (("reads", "unfolds", "holds"), ("the instruction leaflet", "the test manual")),
        (("opens", "tears", "unwraps"), ("the swab packet", "the sterile wrapper")),
        (("swabs", "rotates the swab in", "wipes"), ("the left nostril", "the right nostril")),
        (("squeezes", "drips", "stirs"), ("the solution into the test tube", "the buffer bottle")),
    ),
    (
        (("loosens", "turns", "tightens"), ("the axle nut with a wrench", "the hex bolt")),
        (("removes", "lifts", "tilts"), ("the front wheel", "the bike tire")),
        (("spins", "lubricates", "cranks"), ("the chain", "the pedal backwards")),
        (("pumps", "inflates", "presses"), ("the inner tube", "the valve with a pump")),
    ),
    (
        (("reaches for", "grips", "holds onto"), ("the upper hold", "the rock edge")),
        (("places the foot on", "steps on", "pushes off"), ("the lower foothold", "the ledge")),
        (("swings towards", "jumps to", "catches"), ("the far jug", "the top hold")),
        (("chalks", "shakes", "rubs"), ("both hands", "the fingers from the chalk bag")),
    ),
    (
        (("dribbles", "rolls", "taps"), ("the ball between the cones", "the soccer ball")),
        (("walks after", "picks up", "fetches"), ("the ball from the grass", "a cone")),
        (("kicks", "shoots", "passes"), ("the ball at the goal", "the ball to the wall")),
        (("juggles", "bounces", "balances"), ("the ball on the knee", "the ball on the foot")),
    ),
    (
        (("pushes", "compresses", "presses down on"), ("the chest of the manikin", "the chest")),
        (("tilts", "lifts", "checks"), ("the head of the manikin", "the chin")),
        (("counts", "speeds up", "repeats"), ("the compressions", "the chest thrusts quickly")),
        (("blows into", "seals", "covers"), ("the mouth of the manikin", "the face mask")),
    ),
    (
        (("cuts", "slices", "peels"), ("the onion on the chopping board", "the tomato")),
        (("opens", "looks into", "closes"), ("the fridge", "the cupboard")),
        (("whisks", "beats", "stirs"), ("the eggs in the bowl", "the batter")),
        (("flips", "shakes", "tosses"), ("the omelet in the pan", "the vegetables in the skillet")),
    ),
    (
        (("sways", "steps", "moves"), ("to the left", "to the right with both feet")),
        (("raises", "stretches", "waves"), ("the arms slowly", "the left arm overhead")),
        (("hops", "jumps", "stomps"), ("on both feet", "forward on the floor")),
        (("spins", "twirls", "turns around"), ("on the heel", "with open arms")),
    ),
    (
        (("strums", "plays", "strokes"), ("the guitar strings", "a chord on the guitar")),
        (("turns", "adjusts", "tightens"), ("the tuning peg", "the capo")),
        (("plucks", "picks", "taps"), ("the high string", "a fast melody on the guitar")),
        (("slides", "shifts", "bends"), ("the fingers along the fretboard", "the left hand")),
    ),
)
_ADVERBS: Final = (
    "",
    "",
    "",
    " again",
    " with his right hand",
    " with her left hand",
    " carefully",
)
# By the fault's name: sentences that only it brings, at these seconds.
_PLANTED: Final = {
    "text_empty": ((1.0, ""),),
    "text_long": ((1.0, "The person " + "turns and " * 60 + "stops."),),
    "text_scripts": (
        (1.0, "C は自転車を直す 🚲"),
        (2.0, "Ц открывает дверь"),
        (3.0, "ج يفتح الباب 🚪"),
    ),
}


def make_sentence(activity: int, *, sub_action: int, rng: np.random.Generator) -> str:
    """Return a raw sentence about the wearer, C, as annotators write it, slips included."""
    verbs, objects = VOCABULARY[activity][sub_action]
    verb, thing = str(rng.choice(verbs)), str(rng.choice(objects))
    text = f"C {verb} {thing}{rng.choice(_ADVERBS)}."
    slip = float(rng.random())
    if slip < 0.01:
        return text.replace("C ", "C", 1)
    if slip < 0.02:
        return f"{text}\n"
    return text


def make_sentences(
    activity: int,
    *,
    schedule: Sequence[SubActionTruth],
    first_s: float,
    until_s: float,
    seconds: float,
    fault: str | None,
    rng: np.random.Generator,
) -> list[tuple[float, str]]:
    """Return (second, raw sentence) of a take in time order, those of its fault last.

    Args:
        activity: index of the activity.
        schedule: its sub-actions.
        first_s: the earliest at which something is said; the first sentence comes by 1.5 s.
        until_s: from here on nothing is said.
        seconds: length of the take.
        fault: of the take, if any.
        rng: draws instants and words.
    """
    ends_s = [part.end_s for part in schedule[:-1]]
    said: list[tuple[float, str]] = []
    t_s = float(rng.uniform(first_s, 1.5))
    while t_s < until_s:
        action = schedule[bisect_right(ends_s, t_s)].sub_action
        said.append((t_s, make_sentence(activity, sub_action=action, rng=rng)))
        t_s += float(rng.uniform(1.0, 3.0))
    said += _PLANTED.get(fault or "", ())
    if fault == "narration_outside":
        said += [(-1.0, "C comes in."), (seconds + 3.0, "C leaves the room.")]
    elif fault == "narration_duplicate":
        said.append(said[0])
    return said
