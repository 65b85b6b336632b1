"""What a run does about its quarantined takes as a whole: frames accepted, limits kept.

What each trouble of a take comes to is the business of ``test_faults_egoexo4d``.
"""

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from flows.prepare import prepare
from pipelines.synthetic.egoexo4d import write_egoexo4d
from schemas.errors import QuarantineLimitError
from tests.integration.conftest import make_config

pytestmark = pytest.mark.slow

FAULTS = ("vrs_missing", "no_calibration", "video_short", "vrs_corrupt")


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("faulty")
    write_egoexo4d(
        root, takes=6, seconds=8.0, seed=5, participants=2, faults=FAULTS, workers=2, small_px=112
    )
    return root


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
