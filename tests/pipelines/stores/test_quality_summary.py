from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from pipelines.stores.quality_summary import QUALITY_COLUMNS, summarise_quality
from pipelines.stores.tables import write_table
from schemas.segment import SEGMENT_SCHEMA


def write(path: Path, columns: dict[str, list[object]]) -> Path:
    rows = len(next(iter(columns.values())))
    filled = {f.name: columns.get(f.name, [None] * rows) for f in SEGMENT_SCHEMA}
    loose = pa.schema([f.with_nullable(True) for f in SEGMENT_SCHEMA])
    write_table(path, pa.table(filled, schema=loose))
    return path


def test_figures_of_every_column(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    jitter = rng.normal(size=501).astype(np.float32)
    told = rng.random(501) > 0.3
    path = write(
        tmp_path / "s.parquet",
        {
            "imu_jitter_ns": [float(v) if t else None for v, t in zip(jitter, told, strict=True)],
            "overlaps": list(range(501)),
            "ambiguous": [i % 5 == 0 for i in range(500)] + [None],
        },
    )
    found = summarise_quality(path)
    assert list(found) == ["overlaps", "imu_jitter_ns", "ambiguous"]
    known = np.sort(jitter[told].astype(np.float64))
    assert found["imu_jitter_ns"]["count"] == len(known) == told.sum()
    assert found["imu_jitter_ns"]["mean"] == pytest.approx(
        sum(known.tolist()) / len(known), rel=1e-5
    )
    for name, share in (("p05", 0.05), ("p50", 0.5), ("p95", 0.95)):
        place = share * (len(known) - 1)
        low = int(place)
        value = known[low] + (place - low) * (known[low + 1] - known[low])
        assert found["imu_jitter_ns"][name] == pytest.approx(value, rel=1e-5)
    assert found["imu_jitter_ns"]["max"] == float(f"{known[-1]:.6g}")
    assert found["overlaps"] == {
        "count": 501,
        "mean": 250,
        "p05": 25,
        "p50": 250,
        "p95": 475,
        "max": 500,
    }
    assert found["ambiguous"]["mean"] == 0.2


def test_figures_have_six_digits_and_no_negative_zero(tmp_path: Path) -> None:
    path = write(
        tmp_path / "s.parquet",
        {"take_lag_ns": [123_456_789, 123_456_789], "take_lag_r2": [-0.0, -0.0]},
    )
    found = summarise_quality(path)
    assert found["take_lag_ns"]["mean"] == 123_457_000
    assert str(found["take_lag_r2"]["p50"]) == "0.0"


def test_one_row_is_its_own_percentile(tmp_path: Path) -> None:
    found = summarise_quality(write(tmp_path / "s.parquet", {"frames": [7]}))
    assert found == {
        "frames": {"count": 1, "mean": 7, "p05": 7, "p50": 7, "p95": 7, "max": 7},
    }


def test_every_number_after_the_first_columns_is_summarised() -> None:
    words = {"imu_stream", "imu_frame", "task_family", "video_variant", "decoder", "subject"}
    assert set(SEGMENT_SCHEMA.names[17:]) - set(QUALITY_COLUMNS) == words
