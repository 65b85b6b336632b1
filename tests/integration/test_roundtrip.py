"""What the pipelines publish is what the trainer reads: joined here, nowhere else."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import zarr

from flows.prepare import RunSummary, prepare
from primus_train.data.store import open_store
from schemas.segment import SEGMENT_FIRST_COLUMNS, SEGMENT_SORT
from tests.integration.conftest import make_config

pytestmark = pytest.mark.slow

MASKS = [
    {"name": "half", "keep": 0.5, "seed": 4},
    {"name": "tenth", "keep": 0.1, "seed": 4, "modalities": ["video"]},
]


@pytest.fixture(scope="module")
def published(
    small_dataset: Path, tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory
) -> RunSummary:
    store = tmp_path_factory.mktemp("roundtrip") / "store"
    # Sentences may be missing: rows without text must come through as masked, not as zeros.
    config = make_config(
        small_dataset,
        encoder=tiny_encoder,
        store=store,
        store__tag="v1",
        masks=MASKS,
        segments__require=["imu", "video"],
    )
    return prepare(config)


def test_the_trainer_sees_what_any_zarr_and_parquet_reader_sees(published: RunSummary) -> None:
    data = open_store(f"{published.store}@v1")
    folder = Path(published.store) / "versions" / published.version
    arrays = zarr.open_group(folder / "arrays.zarr", mode="r")
    table = pq.read_table(folder / "segments.parquet")
    assert data.version == published.version
    assert len(data) == table.num_rows == published.stored
    np.testing.assert_array_equal(data.imu.numpy(), np.asarray(arrays["imu"][:]))
    np.testing.assert_array_equal(
        data.video.float().numpy(), np.asarray(arrays["video"][:]).astype(np.float32)
    )
    np.testing.assert_array_equal(data.valid.numpy(), np.asarray(arrays["valid"][:]))
    assert tuple(table.column_names[: len(SEGMENT_FIRST_COLUMNS)]) == SEGMENT_FIRST_COLUMNS
    order = list(zip(*(table.column(name).to_pylist() for name in SEGMENT_SORT), strict=True))
    assert order == sorted(order)


@pytest.mark.parametrize(("name", "hidden"), [("half", (1, 2)), ("tenth", (1,))])
def test_a_published_mask_hides_its_modalities_in_train_alone(
    published: RunSummary, name: str, hidden: tuple[int, ...]
) -> None:
    plain = open_store(f"{published.store}@v1")
    masked = open_store(f"{published.store}@v1", mask=name)
    path = Path(published.store) / "masks" / published.version / f"{name}.parquet"
    rows = {row["segment_id"]: row for row in pq.read_table(path).to_pylist()}
    train = np.array(plain.column("split")) == "train"
    for i, (segment, in_train) in enumerate(zip(plain.column("segment_id"), train, strict=True)):
        for modality, column in enumerate(("keep_imu", "keep_video", "keep_text")):
            keep = rows[segment][column] if segment in rows else True
            assert keep or (in_train and modality in hidden)
            expected = bool(plain.valid[i, modality]) and keep
            assert bool(masked.valid[i, modality]) == expected
    assert 0 < int(masked.valid[:, 1].sum()) < int(plain.valid[:, 1].sum())


def test_masks_of_one_seed_are_nested(published: RunSummary) -> None:
    kept = {
        name: open_store(f"{published.store}@v1", mask=name).valid[:, 1]
        for name in ("half", "tenth")
    }
    assert bool((kept["half"] | ~kept["tenth"]).all())
