"""Bytes by layout, against files really written."""

from pathlib import Path

import pytest

from pipelines.parts.store import PartStore
from pipelines.pricing.rates import Line
from pipelines.pricing.sizes import part_layout, version_bytes
from schemas.store import ARRAYS, SEGMENTS
from tests.factories import (
    SPEC,
    make_config,
    make_narration,
    make_take,
    publish_small_version,
    write_fake_take,
)


def test_arrays_of_a_version_are_exact(tmp_path: Path) -> None:
    published = publish_small_version(tmp_path / "store", takes=2, segments=4)
    folder = tmp_path / "store" / "versions" / published.version
    chunks = sum(p.stat().st_size for p in (folder / ARRAYS).rglob("*/c/**/*") if p.is_file())
    table = (folder / SEGMENTS).stat().st_size
    config = make_config(tmp_path / "store")
    assert published.counts.stored == 8
    assert chunks > 0
    assert version_bytes(8, config=config, spec=SPEC, table=Line()) == chunks
    assert version_bytes(8, config=config, spec=SPEC, table=Line(per_take=table)) == chunks + table
    assert version_bytes(4097, config=config, spec=SPEC, table=Line()) == 2 * chunks
    assert version_bytes(0, config=config, spec=SPEC, table=Line(per_take=5)) == 0


def test_without_encoder_there_are_two_arrays(tmp_path: Path) -> None:
    config = make_config(tmp_path)
    assert version_bytes(1, config=config, spec=None, table=Line()) == 4096 * (6 * 10 * 4 + 3)


@pytest.mark.parametrize(("kind", "rows"), [("imu", 6000), ("frames", 6000), ("text", 300)])
def test_part_layout_is_near_the_file(kind: str, rows: int, tmp_path: Path) -> None:
    config = make_config(tmp_path)
    said = [make_narration(1 + i, f"sentence number {i:03} of a person doing") for i in range(300)]
    write_fake_take(
        PartStore(tmp_path / "parts"), config=config, take=make_take(), narrations=said,
        seconds=600, rows_per_batch=1000,
    )  # fmt: skip
    (path,) = (tmp_path / "parts").glob(f"{kind}/*/*.arrow")
    line = part_layout(config, spec=SPEC)[kind]
    # These frames have no pictures.
    pictures = 3000 * 0.1 * rows if kind == "frames" else 0
    assert line.at(rows) - pictures == pytest.approx(path.stat().st_size, rel=0.15)
