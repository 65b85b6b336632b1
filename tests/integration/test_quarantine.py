"""One bad take is quarantined with its reason, and the rest is published."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from flows.prepare import prepare
from pipelines.stores.verify import verify_version
from pipelines.synthetic.egoexo4d import write_egoexo4d
from schemas.errors import QuarantineLimitError
from tests.integration.conftest import make_config

pytestmark = pytest.mark.slow

FAULTS = {
    "vrs_missing": "vrs_missing",
    "no_calibration": "no_calibration",
    "video_truncated": "frame_count_mismatch",
    "vrs_corrupt": "vrs_unreadable",
}


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("faulty")
    write_egoexo4d(
        root, takes=6, seconds=8.0, seed=5, participants=2, faults=[*FAULTS, "imu_gap"], workers=2
    )
    return root


def test_each_fault_has_its_reason_and_counts_reconcile(
    faulty: Path, tiny_encoder: Path, tmp_path: Path
) -> None:
    config = make_config(faulty, encoder=tiny_encoder, store=tmp_path / "s", max_quarantine=0.9)
    summary = prepare(config)
    assert summary.quarantined_takes == dict.fromkeys(FAULTS.values(), 1)
    assert summary.dropped["imu_gap"] >= 1
    lost = sum(summary.dropped.values()) + sum(summary.quarantined.values())
    assert summary.planned == summary.stored + lost
    table = pq.read_table(tmp_path / "s" / "versions" / summary.version / "quarantine.parquet")
    assert sorted(table.column("reason").to_pylist()) == sorted(FAULTS.values())
    assert dict.fromkeys(FAULTS.values(), 1).keys() == summary.quarantined.keys()
    records = sorted((tmp_path / "s" / "parts" / "state").glob("*.json"))
    assert sorted(json.loads(r.read_text())["reason"] for r in records) == sorted(FAULTS.values())
    assert verify_version(tmp_path / "s", summary.version) == []


def test_sensor_frame_when_accepted_holds_for_all_takes(
    faulty: Path, tiny_encoder: Path, tmp_path: Path
) -> None:
    config = make_config(
        faulty,
        encoder=tiny_encoder,
        store=tmp_path / "s",
        max_quarantine=0.9,
        imu__accept_sensor_frame=True,
    )
    summary = prepare(config)
    assert "no_calibration" not in summary.quarantined_takes
    table = pq.read_table(tmp_path / "s" / "versions" / summary.version / "segments.parquet")
    assert set(table.column("imu_frame").to_pylist()) == {"sensor"}


def test_too_many_quarantined_takes_publish_nothing_but_the_table(
    faulty: Path, tiny_encoder: Path, tmp_path: Path
) -> None:
    config = make_config(faulty, encoder=tiny_encoder, store=tmp_path / "s", max_quarantine=0.25)
    with pytest.raises(QuarantineLimitError, match="allows 25% of takes, got 4 of 6") as caught:
        prepare(config)
    assert caught.value.exit_code == 3
    assert not (tmp_path / "s" / "versions").exists()
    table = pq.read_table(tmp_path / "s" / "parts" / "state" / "quarantine.parquet")
    assert table.num_rows == 4
