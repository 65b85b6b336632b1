import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from pipelines.parts.motion_trace import MotionTrace
from pipelines.parts.store import PartStore
from pipelines.report import figures
from pipelines.report.examples import Example, Thumbnail
from pipelines.report.figures import (
    draw_alignment_figure,
    draw_composition_figure,
    draw_segment_figure,
    write_demo_figures,
)
from pipelines.report.quality import count_labels
from schemas.imu import IMU_CHANNELS, IMU_UNITS

from .conftest import SECOND, HandmadeVersion, handmade_imu, jpeg_of, lazy, segment_row

BLUE = (0, 0x72, 0xB2)
VERMILION = (0xD5, 0x5E, 0)


def pixels(path: Path) -> npt.NDArray[np.int16]:
    with Image.open(path) as image:
        assert image.format == "PNG"
        return np.asarray(image.convert("RGB")).astype(np.int16)


def count(path: Path, colour: tuple[int, int, int]) -> int:
    """How many pixels are near a colour."""
    return int((np.abs(pixels(path) - np.array(colour)).max(axis=2) <= 12).sum())


def example(*, imu: bool = True, pictures: bool = True, text: str | None = "stirs") -> Example:
    return Example(
        segment=segment_row(text=text, label=None, split=None),
        imu=handmade_imu(1)[0] if imu else None,
        thumbnails=tuple(Thumbnail(t_ns=i * SECOND, jpeg=jpeg_of((250, 0, 250))) for i in range(5))
        if pictures
        else (),
        note="" if pictures else "there is no parts folder",
    )


def draw(out: Path, shown: Example) -> Path:
    draw_segment_figure(out, example=shown, channels=IMU_CHANNELS, units=IMU_UNITS, rate_hz=50)
    return out


@pytest.mark.slow
def test_triplet_shows_pictures_and_traces(tmp_path: Path) -> None:
    whole = draw(tmp_path / "whole.png", example())
    magenta = count(whole, (250, 0, 250))
    assert magenta > 5 * 60 * 60
    assert count(whole, BLUE) > 200
    assert count(whole, VERMILION) > 200
    bare = draw(tmp_path / "bare.png", example(imu=False, pictures=False, text=None))
    assert count(bare, (250, 0, 250)) == 0
    assert count(bare, BLUE) == 0


@pytest.mark.slow
def test_equal_data_give_equal_files_and_no_global_figure(tmp_path: Path) -> None:
    one, two = (draw(tmp_path / name, example()) for name in ("1.png", "2.png"))
    assert one.read_bytes() == two.read_bytes()
    pyplot = sys.modules.get("matplotlib.pyplot")
    assert pyplot is None or pyplot.get_fignums() == []


@pytest.mark.slow
@pytest.mark.parametrize("lag_ns", [None, 300_000_000])
def test_alignment_marks_a_lag_only_where_it_is_told(tmp_path: Path, lag_ns: int | None) -> None:
    t_ns = np.arange(0, 12 * SECOND, 20_000_000, dtype=np.int64)
    rng = np.random.default_rng(0)
    motion = rng.normal(size=(100, 2))
    motion[0] = np.nan
    out = tmp_path / "alignment.png"
    draw_alignment_figure(
        out,
        title="take a",
        trace=MotionTrace(
            gyro_t_ns=t_ns,
            gyro_rad_s=np.zeros((len(t_ns), 3), np.float32),
            motion_t_ns=np.arange(100, dtype=np.int64) * 100_000_000,
            motion=motion,
        ),
        lag_ns=lag_ns,
    )
    seen = pixels(out)
    lowest = seen[int(len(seen) * 0.72) : int(len(seen) * 0.9)]
    marked = (np.abs(lowest - np.array(VERMILION)).max(axis=2) <= 40).sum()
    assert (marked > 20) == (lag_ns is not None)


def test_composition_bars_grow_with_the_counts(tmp_path: Path) -> None:
    def train_pixels(n: int) -> int:
        rows = [segment_row(split="train")] * n + [segment_row(split="test")] * (40 - n)
        out = tmp_path / f"{n}.png"
        draw_composition_figure(out, title="v", counted=count_labels(lazy(rows)))
        return count(out, BLUE)

    assert train_pixels(30) > 2 * train_pixels(10) > 1000


def test_composition_of_nothing_is_still_a_figure(tmp_path: Path) -> None:
    out = tmp_path / "empty.png"
    draw_composition_figure(out, title="v", counted=count_labels(lazy([])))
    assert pixels(out).shape[2] == 3


@pytest.mark.slow
def test_demo_figures_show_the_middle_take(
    make_version: Callable[..., HandmadeVersion],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    r2s = [0.9, 0.2, 0.6]
    rows = [
        segment_row(take_uid=uid, take_name=f"take {uid}", take_lag_r2=r2)
        for uid, r2 in zip("abc", r2s, strict=True)
    ]
    made = make_version(rows)
    titles: list[str] = []
    real = figures.draw_alignment_figure

    def spy(out: Path, *, title: str, trace: MotionTrace, lag_ns: int | None) -> None:
        titles.append(title)
        real(out, title=title, trace=trace, lag_ns=lag_ns)

    monkeypatch.setattr(figures, "draw_alignment_figure", spy)
    out = write_demo_figures(
        made.store,
        version=made.version,
        parts=PartStore(made.parts_root),
        out=tmp_path / "figures",
        triplets=2,
    )
    assert [path.name for path in out] == [
        "composition.png",
        "alignment.png",
        "triplet-1.png",
        "triplet-2.png",
    ]
    assert all(pixels(path).std() > 1 for path in out)
    assert titles == ["take c"]
