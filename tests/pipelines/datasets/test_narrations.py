from itertools import permutations

import pytest

from pipelines.config import TextConfig
from pipelines.datasets.narrations import narration_order, wanted_sources
from schemas.errors import UsageError
from schemas.narration import Narration

KNOWN = ("vtt", "srt", "csv")


def said(ns: int, *, text: str = "", source: str = "a", pass_uid: str = "1") -> Narration:
    return Narration(narration_ns=ns, text_raw=text, text="", text_source=source, pass_uid=pass_uid)


@pytest.mark.parametrize(
    ("sources", "wanted"),
    [
        (None, KNOWN),
        ((), ()),
        (("csv", "vtt"), ("csv", "vtt")),
    ],
)
def test_sources_are_those_named_or_all(
    sources: tuple[str, ...] | None, wanted: tuple[str, ...]
) -> None:
    assert wanted_sources(TextConfig(sources=sources), known=KNOWN, dataset="d") == wanted


def test_sources_that_are_not_there_are_refused() -> None:
    text = TextConfig(sources=("talk", "srt", "chat"))
    with pytest.raises(UsageError, match="of d must be among vtt, srt, csv, got chat, talk"):
        wanted_sources(text, known=KNOWN, dataset="d")


def test_order_does_not_depend_on_the_file() -> None:
    ordered = [
        said(-5, text="z", source="z", pass_uid="9"),
        said(1, text="b", source="b", pass_uid="1"),
        said(1, text="a", source="a", pass_uid="2"),
        said(1, text="b", source="a", pass_uid="2"),
        said(1, text="a", source="b", pass_uid="2"),
    ]
    for shuffled in permutations(ordered):
        assert sorted(shuffled, key=narration_order) == ordered
