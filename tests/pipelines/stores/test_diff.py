"""A diff counts what was really changed, found here by comparing whole tables and arrays."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import zarr

from pipelines.parts.store import PartStore
from pipelines.stores.diff import VersionDiff, diff_versions, print_diff
from schemas.errors import StoreNotFoundError
from tests.factories import make_config, make_narration, make_take, publish_fakes, write_fake_take

Takes = dict[str, Sequence[tuple[float, str]]]

BASE: Takes = {
    f"take-{i}": [(0.5 + 0.55 * k, f"sentence {k % 5}") for k in range(8)] for i in range(4)
}


def publish(
    store: Path, takes: Takes, *, seeds: dict[str, int] | None = None, **config: Any
) -> str:
    made = make_config(store, **config)
    parts = PartStore(made.parts_root)
    fakes = [
        write_fake_take(
            parts,
            config=made,
            take=make_take(uid),
            narrations=[make_narration(at, text) for at, text in said],
            seconds=6.0,
            seed=(seeds or {}).get(uid, 0),
        )
        for uid, said in sorted(takes.items())
    ]
    return publish_fakes(store, config=made, fakes=fakes).version


def rows_of(store: Path, version: str) -> tuple[pl.DataFrame, dict[str, np.ndarray[Any, Any]]]:
    folder = store / "versions" / version
    group = zarr.open_group(folder / "arrays.zarr", mode="r")
    arrays = {name: np.asarray(group[name][:]) for name in ("imu", "video", "text")}  # type: ignore[index]
    return pl.read_parquet(folder / "segments.parquet"), arrays


def check(a: tuple[Path, str], b: tuple[Path, str]) -> VersionDiff:
    """Compare the diff with what dictionaries by segment_id say."""
    diff = diff_versions(a, b)
    sides = []
    for where in (a, b):
        table, arrays = rows_of(*where)
        sides.append(
            {
                row["segment_id"]: {
                    **row,
                    **{f"arrays/{name}": values[i].tobytes() for name, values in arrays.items()},
                }
                for i, row in enumerate(table.iter_rows(named=True))
            }
        )
    one, other = sides
    both = one.keys() & other.keys()
    columns: dict[str, int] = {}
    for key in both:
        for name in one[key]:
            if one[key][name] != other[key][name]:
                columns[name] = columns.get(name, 0) + 1
    rows = diff.segments
    assert rows.added == len(other.keys() - one.keys())
    assert rows.removed == len(one.keys() - other.keys())
    assert rows.columns == columns
    assert rows.changed == sum(one[key] != other[key] for key in both)
    assert rows.same + rows.changed == len(both)
    takes = [{row["take_uid"] for row in side.values()} for side in sides]
    assert diff.takes.added == tuple(sorted(takes[1] - takes[0]))
    assert diff.takes.removed == tuple(sorted(takes[0] - takes[1]))
    return diff


@pytest.fixture(autouse=True, params=[5, 4096], ids=["small_blocks", "one_block"])
def blocks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == 5:
        for module in ("arrays", "array_files", "diff"):
            monkeypatch.setattr(f"pipelines.stores.{module}.ROWS_PER_CHUNK", 5)


def test_a_version_equals_itself_and_its_twin_elsewhere(tmp_path: Path) -> None:
    a = tmp_path / "a", publish(tmp_path / "a", BASE)
    b = tmp_path / "b", publish(tmp_path / "b", BASE)
    for other in (a, b):
        diff = check(a, other)
        assert diff.equal
        assert (diff.manifest, diff.segments.same) == ({}, 32)
        assert print_diff(diff).endswith("the same version")


def test_takes_sentences_and_values_that_changed_are_counted(tmp_path: Path) -> None:
    a = tmp_path / "a", publish(tmp_path / "a", BASE)
    changed = dict(BASE)
    changed["take-0"] = [*BASE["take-0"][1:], (3.0, "something new")]
    changed["take-9"] = changed.pop("take-1")
    b = tmp_path / "b", publish(tmp_path / "b", changed, seeds={"take-2": 7})
    diff = check(a, b)
    assert not diff.equal
    assert diff.takes.added == ("take-9",)
    assert diff.takes.removed == ("take-1",)
    assert diff.takes.changed == ("take-0", "take-2")
    assert (diff.segments.added, diff.segments.removed) == (9, 9)
    assert {"arrays/imu", "arrays/video", "arrays/text"} <= diff.segments.columns.keys()
    assert diff.segments.columns["arrays/imu"] == 8
    assert diff.sources.added == ("take-9:take-9/video.mp4",)
    assert diff.sources.removed == ("take-1:take-1/video.mp4",)
    told = print_diff(diff)
    assert "takes added: 1 (take-9)" in told
    assert "arrays/imu differs in 8" in told
    back = check(b, a)
    assert (back.takes.added, back.takes.removed) == (diff.takes.removed, diff.takes.added)


def test_settings_that_differ_are_named_and_nothing_else(tmp_path: Path) -> None:
    a = tmp_path / "a", publish(tmp_path / "a", BASE)
    b = tmp_path / "b", publish(tmp_path / "b", BASE, segments={"duplicates": "drop"})
    diff = check(a, b)
    assert {name: (c.a, c.b) for name, c in diff.manifest.items() if "config" in name} == {
        "config.segments.duplicates": ("keep", "drop")
    }


def test_windows_of_another_length_share_no_segment(tmp_path: Path) -> None:
    a = tmp_path / "a", publish(tmp_path / "a", BASE)
    b = tmp_path / "b", publish(tmp_path / "b", BASE, segments={"length_ms": 2000})
    diff = check(a, b)
    assert (diff.segments.same, diff.segments.changed) == (0, 0)
    assert diff.columns.changed == ("arrays/imu",)
    assert diff.manifest["imu.samples"].model_dump() == {"a": 10, "b": 20}


def test_a_version_that_is_not_there_is_told(tmp_path: Path) -> None:
    a = tmp_path, publish(tmp_path, {"take-0": BASE["take-0"]})
    with pytest.raises(StoreNotFoundError, match="0123456789abcdef must exist"):
        diff_versions(a, (tmp_path, "0123456789abcdef"))
