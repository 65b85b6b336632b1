"""Activity class of an Ego-Exo4D take, from its name."""

from typing import Final, Literal

__all__ = ["EGOEXO4D_LABELS", "LabelRule", "egoexo4d_label"]

LabelRule = Literal["paper", "published"]

EGOEXO4D_LABELS: Final = (
    "medical test",
    "repair bike",
    "climb rock",
    "soccer",
    "perform CPR",
    "cook",
    "dance",
    "play music",
)

# In order: the first row with a match decides.
_SUBSTRINGS: Final = (
    (("covidtest", "pcr", "covid"), "medical test"),
    (("bike",), "repair bike"),
    (("bouldering", "rockclimbing"), "climb rock"),
    (("soccer", "basketball"), "soccer"),
    (("cpr",), "perform CPR"),
    (("cooking", "omelet", "salad", "sushi"), "cook"),
    (("dance",), "dance"),
    (("music", "guitar", "piano", "violin"), "play music"),
)


def egoexo4d_label(take_name: str, *, rule: LabelRule) -> str | None:
    """Return one of the eight classes, or None where the name shows none.

    Args:
        take_name: as in takes.json.
        rule: ``paper``: basketball has no label, as the paper's eight classes do not hold it;
            ``published``: basketball counts as soccer, as in the published code.
    """
    name = take_name.lower()
    for substrings, label in _SUBSTRINGS:
        if any(s in name for s in substrings):
            if rule == "paper" and label == "soccer" and "soccer" not in name:
                return None
            return label
    return None
