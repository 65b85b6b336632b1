"""Activity class of an Ego4D video, from its scenarios."""

from collections.abc import Sequence
from typing import Final

from pipelines.segments.labels import LabelRule

__all__ = ["EGO4D_LABELS", "EGO4D_SCENARIOS", "ego4d_label"]

EGO4D_SCENARIOS: Final = {
    "Practicing a musical instrument": "play music",
    "Cooking": "cook",
    "Eating": "eat",
    "Cleaning / laundry": "clean",
    "Carpenter": "carpenter",
    "Crafting/knitting/sewing/drawing/painting": "craft",
    "Farmer": "farmer",
    "Household management - caring for kids": "household",
    "Walking on street": "walk",
    "jobs related to construction/renovation company": "construction",
}
"""Scenario of ego4d.json to class: the ten of the paper."""

EGO4D_LABELS: Final = tuple(EGO4D_SCENARIOS.values())

# The published code begins with these five too, and leaves them out before it trains.
_PUBLISHED: Final = {
    "Car mechanic": "car mechanic",
    "Clothes, other shopping": "shop clothes",
    "Doing yardwork / shoveling snow": "yardwork",
    "Grocery shopping indoors": "shop groceries",
    "Playing cards": "play cards",
}
# ego4d.json goes on with examples in brackets, after a line break, in some of its versions.
_CONSTRUCTION: Final = "jobs related to construction/renovation"


def ego4d_label(scenarios: Sequence[str], *, rule: LabelRule) -> str | None:
    """Return the class of a video with these scenarios, or None where it shows none of them.

    A video of several scenarios has no class: nothing says which of them a moment belongs to.
    Names are compared without regard to case and white space.

    Args:
        scenarios: as in ego4d.json.
        rule: ``paper``: one of the ten classes; ``published``: one of the published script's
            fifteen.
    """
    if len(scenarios) != 1:
        return None
    name = _plain(scenarios[0])
    table = EGO4D_SCENARIOS if rule == "paper" else {**EGO4D_SCENARIOS, **_PUBLISHED}
    if name.startswith(_CONSTRUCTION):
        return "construction"
    return {_plain(scenario): label for scenario, label in table.items()}.get(name)


def _plain(scenario: str) -> str:
    return " ".join(scenario.split()).lower()
