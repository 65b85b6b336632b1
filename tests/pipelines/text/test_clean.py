import json
from pathlib import Path
from typing import Any

import pytest

from pipelines.text.clean import clean_text


@pytest.mark.parametrize(
    ("raw", "default", "published"),
    [
        ("C picks up the Cup.", "picks up the cup", "picks up the up"),
        ("#C C picks up a knife", "picks up a knife", "picks up a knife"),
        ("#c c picks up a knife.", "picks up a knife", "c c picks up a knife"),
        ("#C picks up a knife", "picks up a knife", " picks up a knife"),
        ("#O man X walks away", "man x walks away", "o man x walks away"),
        ("C holds #unsure.", "holds something", "holds something"),
        ("C holds #Unsure ", "holds something", "holds #unsure"),
        ("C puts the #unsure, down!", "puts the something, down", "puts the something, down"),
        ("Cturns around", "turns around", "turns around"),
        ("Closes the door", "closes the door", "loses the door"),
        ("Cuts the bread", "cuts the bread", "uts the bread"),
        ("Cuddles C", "cuddles c", "uddles"),
        ("C passes C's cup", "passes c's cup", "passes 's cup"),
        ("C: throws the ball", "throws the ball", " throws the ball"),
        ("c catches the ball", "c catches the ball", "c catches the ball"),
        ("C looks\n around \t twice", "looks around twice", "looks\n around \t twice"),
        ("  The ball bounces .", "the ball bounces", "the ball bounces "),
        ("C", "", ""),
        ("c", "", "c"),
        ("#C C.", "", " "),
        ("", "", ""),
        (" \n", "", ""),
        ("...", "", ""),
        ("C " + "a" * 200, "a" * 200, "a" * 128),
    ],
)
def test_cleaning(raw: str, default: str, published: str) -> None:
    assert clean_text(raw, rule="default") == default
    assert clean_text(raw, rule="published") == published


def test_default_is_stable() -> None:
    for raw in ("C picks up the Cup.", "Cturns around", "#unsure", "#O man X walks"):
        once = clean_text(raw, rule="default")
        assert clean_text(once, rule="default") == once


def test_real_annotations_lose_their_marker_and_nothing_else(shared_data: Path) -> None:
    sample: Any = json.loads((shared_data / "atomic_descriptions_sample.json").read_text())
    raws = [
        d["text"] for passes in sample["annotations"].values() for p in passes
        for d in p["descriptions"]
    ]  # fmt: skip
    cleaned = [clean_text(raw, rule="default") for raw in raws]
    assert len(raws) == 3264
    assert sum(raw.startswith("C ") for raw in raws) == 3040
    # 112 annotations hold a bare "c".
    assert sum(not text for text in cleaned) == sum(raw.strip() == "c" for raw in raws) == 112
    assert not any(text.startswith("c ") or "  " in text for text in cleaned)
    for raw, text in zip(raws, cleaned, strict=True):
        words = raw.lower().split()
        kept = words[1:] if words[0] == "c" else words
        assert text == " ".join(kept).rstrip(" .,")
