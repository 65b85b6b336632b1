import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from pipelines.report.html import write_report
from pipelines.report.quality_section import show_quality
from pipelines.stores.verify import read_manifest

from .conftest import HandmadeVersion, lazy, segment_row

MakeVersion = Callable[..., HandmadeVersion]

TOLD: dict[str, Any] = {
    "imu_coverage": 1.0,
    "imu_jitter_ns": 20_000.0,
    "imu_invalid_share": 0.005,
    "imu_saturated_share": 0.0,
    "imu_still_share": 0.5,
    "frames_missing": 1,
    "narrations_per_minute": 12.0,
    "sentences_in_window": 2,
    "ambiguous": True,
}


def show(made: HandmadeVersion, rows: list[dict[str, Any]], *, drop: tuple[str, ...] = ()) -> str:
    manifest = read_manifest(made.store, made.version)
    return str(show_quality(lazy(rows).drop(drop), manifest=manifest))


def bars_of(page: str, title: str) -> dict[str, int]:
    """Return the bars under a title: their names and counts."""
    under = page.split(f"<h3>{title}</h3>")[1].split("<h3>")[0]
    pairs = re.findall(r'class="name">(.*?)</span>.*?class="count">([\d,]+)</span>', under)
    return {name.replace("<wbr>", ""): int(n) for name, n in pairs}


@pytest.fixture
def made(make_version: MakeVersion) -> HandmadeVersion:
    figures = {"count": 3.0, "mean": 1.5, "p05": 0.1, "p50": 1.0, "p95": 3.0, "max": 4321.5}
    return make_version([segment_row()], quality={"imu_jitter_ns": figures})


def test_every_quality_column_has_its_bars(made: HandmadeVersion) -> None:
    rows = [segment_row(**TOLD), segment_row(**TOLD | {"imu_jitter_ns": None}), segment_row(**TOLD)]
    page = show(made, rows)
    jitter = bars_of(page, "Jitter of the IMU's intervals".replace("'", "&#x27;"))
    assert jitter["20 to 100 us"] == 2
    assert jitter["not known"] == 1
    assert sum(jitter.values()) == 3
    assert bars_of(page, "IMU coverage of a segment")["100 % or more"] == 3
    assert bars_of(page, "IMU samples left out")["0.1 to 1 %"] == 3
    assert bars_of(page, "IMU samples at the end of their range")["0 to 0.1 %"] == 3
    assert bars_of(page, "Half seconds without motion")["50 to 75 %"] == 3
    assert bars_of(page, "Grid frames without a picture")["1"] == 3
    assert bars_of(page, "Narrations a minute")["10 to 20 a minute"] == 3
    assert bars_of(page, "Different sentences in a segment&#x27;s window")["2"] == 3


def test_figures_of_the_manifest_are_a_table(made: HandmadeVersion) -> None:
    page = show(made, [segment_row()])
    cells = re.findall(r"<td[^>]*>(.*?)</td>", page)
    assert [re.sub("<wbr>", "", c) for c in cells] == [
        "imu_jitter_ns",
        "3",
        "1.5",
        "0.1",
        "1",
        "3",
        "4321.5",
    ]


def test_columns_without_a_value_are_left_out(made: HandmadeVersion) -> None:
    page = show(made, [segment_row(imu_gap_ns=None, frames=None)])
    assert "Longest IMU gap" not in page
    assert "Half seconds" not in page
    assert "Other segments of the take" in page


def test_versions_made_before_a_column_are_shown_without_it(made: HandmadeVersion) -> None:
    page = show(made, [segment_row(**TOLD)], drop=("imu_jitter_ns", "ambiguous"))
    assert "Jitter" not in page
    assert "Half seconds" in page


def test_version_of_imu_alone_has_a_page(make_version: MakeVersion, tmp_path: Path) -> None:
    nothing = {
        "has_video": False,
        "has_text": False,
        **dict.fromkeys(
            ("narration_ns", "text", "text_raw", "text_source", "pass_uid", "tokens", "frames")
        ),
        **dict.fromkeys(
            ("frame_error_ns", "video_variant", "decoder", "take_lag_ns", "take_lag_r2")
        ),
    }
    bare = make_version([segment_row(**TOLD | nothing)], encoder=False)
    out = tmp_path / "report.html"
    write_report(bare.store, version=bare.version, out=out)
    page = out.read_text()
    assert "IMU alone: no picture and no sentence was embedded" in page
    assert "A version of IMU windows alone." in page
    assert "synchronized IMU, video and text" not in page
    assert "embedding of" not in page
    assert "Tokens of a sentence" not in page
    assert "no sentence" in page


def test_example_warns_of_what_is_doubtful(make_version: MakeVersion, tmp_path: Path) -> None:
    rows = [segment_row(**TOLD | {"sync_suspect": True})]
    doubtful = make_version(rows)
    write_report(doubtful.store, version=doubtful.version, out=tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text()
    for words in ("ambiguous sentence", "clocks suspect", "jitter 20.0 us", "still for 50%"):
        assert words in page


def test_no_row_has_a_page(made: HandmadeVersion) -> None:
    assert isinstance(lazy([]), pl.LazyFrame)
    assert bars_of(show(made, []), "Tokens of a sentence")["0 to 7"] == 0
