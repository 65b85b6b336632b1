import random

import pytest

from pipelines.datasets.gopro_chapters import group_chapters


@pytest.mark.parametrize(
    ("clips", "groups"),
    [
        pytest.param(
            ["GX020123.MP4", "GX010123.MP4", "GX010124.MP4", "GX100123.MP4", "GX030123.MP4"],
            [("GX010123.MP4", "GX020123.MP4", "GX030123.MP4"), ("GX010124.MP4",),
             ("GX100123.MP4",)],
            id="hero6_and_a_gap",
        ),
        pytest.param(
            ["GP020007.MP4", "GOPR0007.MP4", "GP010007.MP4", "GOPR0008.MP4"],
            [("GOPR0007.MP4", "GP010007.MP4", "GP020007.MP4"), ("GOPR0008.MP4",)],
            id="hero5",
        ),
        pytest.param(
            ["GP020007.MP4", "GP030007.MP4"], [("GP020007.MP4", "GP030007.MP4")], id="start_lost"
        ),
        pytest.param(
            ["a/GH010001.mp4", "b/GH020001.mp4", "b/GX010001.mp4"],
            [("a/GH010001.mp4",), ("b/GH020001.mp4",), ("b/GX010001.mp4",)],
            id="folders_and_families_apart",
        ),
        pytest.param(
            ["gx010001.mp4", "GX020001.MP4"], [("gx010001.mp4", "GX020001.MP4")], id="any_case"
        ),
        pytest.param(
            ["GX010001.MP4", "GX010001.mp4", "GX020001.mp4"],
            [("GX010001.MP4", "GX020001.mp4"), ("GX010001.mp4",)],
            id="twice",
        ),
        pytest.param(
            ["walk.mp4", "GX01012.mp4", "GX0101234.mp4", "XGX010123.mp4"],
            [("GX01012.mp4",), ("GX0101234.mp4",), ("XGX010123.mp4",), ("walk.mp4",)],
            id="other_names",
        ),
        pytest.param([], [], id="none"),
    ],
)  # fmt: skip
def test_recordings_by_name(clips: list[str], groups: list[tuple[str, ...]]) -> None:
    assert group_chapters(clips) == groups
    shuffled = clips.copy()
    random.Random(3).shuffle(shuffled)
    assert group_chapters(shuffled) == groups
