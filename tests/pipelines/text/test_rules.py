"""Each rule by itself, on sentences that only it changes."""

import json
import string
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipelines.text import rules
from pipelines.text.rules import RULE_SETS


@pytest.mark.parametrize(
    ("rule", "before", "after"),
    [
        (rules.collapse_space, " C sits\n\tdown  ", "C sits down"),
        (rules.drop_subject_marker, "C picks the Cup of C", "picks the Cup of C"),
        (rules.drop_subject_marker, "#C C picks", "picks"),
        (rules.drop_subject_marker, "# c picks", "picks"),
        (rules.drop_subject_marker, "#O man X waves", "man X waves"),
        (rules.drop_subject_marker, "Cturns", "turns"),
        (rules.drop_subject_marker, "#C C Cturns", "turns"),
        (rules.drop_subject_marker, "presses the Ctrl key", "presses the Ctrl key"),
        (rules.drop_subject_marker, "Closes", "Closes"),
        (rules.drop_subject_marker, "#c c.", ""),
        (rules.drop_subject_marker, "", ""),
        (rules.name_unsure, "holds #UNSURE and #unsure", "holds something and something"),
        (rules.name_unsure, "holds #unsureness", "holds #unsureness"),
        (rules.trim_punctuation, ". 'the ball' !", "the ball"),
        (rules.lower_case, "Öffnet DIE Tür", "öffnet die tür"),
        (rules.delete_wearer_marker, "#C C picks #C C it", "picks it"),
        (rules.delete_every_capital_c, "C Closes Cups, c", " loses ups, c"),
        (rules.name_unsure_as_published, "#unsure #Unsure", "something #Unsure"),
        (rules.trim_space_then_punctuation, " the ball . ", "the ball "),
        (rules.cut_at_128_characters, "a" * 129, "a" * 128),
        (rules.cut_at_128_characters, "a" * 128, "a" * 128),
    ],
)
def test_rule(rule: Callable[[str], str], before: str, after: str) -> None:
    assert rule(before) == after


def test_every_rule_belongs_to_a_set_and_every_set_has_its_name() -> None:
    functions = {getattr(rules, name) for name in rules.__all__ if name != "RULE_SETS"}
    assert {step for steps in RULE_SETS.values() for step in steps} == functions
    assert set(RULE_SETS) == {"default", "published"}


def test_published_set_loses_each_capital_c_of_real_sentences(shared_data: Path) -> None:
    sample: Any = json.loads((shared_data / "atomic_descriptions_sample.json").read_text())
    raws = [
        d["text"] for passes in sample["annotations"].values() for p in passes
        for d in p["descriptions"]
    ]  # fmt: skip
    kept = {"default": 0, "published": 0}
    for name, steps in RULE_SETS.items():
        for raw in raws:
            text = raw
            for step in steps:
                text = step(text)
            # Of the letters behind the marker, how many c's are left?
            kept[name] += text.count("c")
    body = sum(raw.lower().count("c") - raw.lower().startswith("c ") for raw in raws)
    lost = sum(raw.count("C") - raw.startswith("C ") for raw in raws)
    bare = sum(raw.strip(string.whitespace) == "c" for raw in raws)
    # The corrected set keeps them all but those that stand alone; the published one none of them.
    assert lost > 0
    assert kept["default"] == body - bare
    assert kept["published"] == body - lost
