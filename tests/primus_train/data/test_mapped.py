from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import zarr

from primus_train.config import FitConfig
from primus_train.data.chunks import find_raw_chunks
from primus_train.data.mapped import MappedRows
from primus_train.data.store import open_store
from primus_train.data.triplets import Triplets
from primus_train.objectives.registry import make_objective
from primus_train.representation import embed_rows
from schemas.errors import UsageError

VALUES = np.arange(11 * 6, dtype=np.float16).reshape(11, 2, 3)


@pytest.fixture
def mapped(tmp_path: Path) -> MappedRows:
    group = zarr.create_group(str(tmp_path / "arrays.zarr"), zarr_format=3)
    array = group.create_array(
        "x", shape=VALUES.shape, dtype="float16", chunks=(4, 2, 3), compressors=None
    )
    array[...] = VALUES
    raw = find_raw_chunks(array, name="x", version=tmp_path)
    assert raw is not None
    return MappedRows(raw)


@pytest.mark.parametrize(
    "index",
    [
        slice(None),
        slice(3, 9),
        slice(9, 3, -2),
        [],
        [10],
        [7, 7, 0, 4, 3, 10, 0],
        [-1, -11],
        torch.tensor([8, 1, 5]),
    ],
    ids=str,
)
def test_rows_are_those_of_the_array_in_the_order_asked_for(
    mapped: MappedRows, index: slice | list[int] | torch.Tensor
) -> None:
    got = mapped[index]
    plain = index if isinstance(index, slice) else np.array(list(index), dtype=np.int64)
    assert got.dtype == mapped.dtype == torch.float16
    np.testing.assert_array_equal(got.numpy(), VALUES[plain])
    assert mapped.shape == (11, 2, 3)
    assert len(mapped) == 11


def test_what_comes_back_is_a_copy(mapped: MappedRows) -> None:
    mapped[[2, 3]].zero_()
    np.testing.assert_array_equal(mapped[[2, 3]].numpy(), VALUES[2:4])


def test_more_chunks_than_may_be_open_are_read_all_the_same(
    mapped: MappedRows, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("primus_train.data.mapped._OPEN", 1)
    few = MappedRows(mapped._raw)
    rows = [10, 0, 5, 9, 1]
    np.testing.assert_array_equal(few[rows].numpy(), VALUES[rows])
    assert few._map.cache_info().currsize == 1


@pytest.mark.parametrize("index", [[11], [-12, 0]])
def test_rows_outside_are_refused(mapped: MappedRows, index: list[int]) -> None:
    with pytest.raises(IndexError, match=r"rows must lie in \[-11, 11\), got"):
        mapped[index]


def test_masks_and_tables_are_no_rows(mapped: MappedRows) -> None:
    with pytest.raises(IndexError, match=r"whole numbers \(n,\), got bool \(11,\)"):
        mapped[torch.ones(11, dtype=torch.bool)]
    with pytest.raises(IndexError, match=r"got int64 \(1, 1\)"):
        mapped[torch.tensor([[1]])]


def test_batches_and_embeddings_are_the_same_to_the_bit(toy_store: Path) -> None:
    memory = open_store(str(toy_store), mask="half", load="memory")
    mapped = open_store(str(toy_store), mask="half", load="mapped")
    assert (memory.loading.mode, mapped.loading.mode) == ("memory", "mapped")
    assert not isinstance(mapped.imu, torch.Tensor)
    assert torch.equal(memory.valid, mapped.valid)
    video_of = np.arange(48)[::-1].copy()
    kinds = [
        Triplets(memory, video_of=video_of),
        Triplets(mapped, video_of=video_of),
        Triplets(mapped, video_of=video_of, place="device"),
    ]
    assert [kind.place for kind in kinds] == ["host", "host", "device"]
    for rows in (np.array([40, 3, 3, 17]), np.arange(48)):
        first, *others = [kind.batch(rows) for kind in kinds]
        for other in others:
            for name in ("imu", "video", "text", "valid"):
                assert torch.equal(getattr(first, name), getattr(other, name)), name
    objective = make_objective(FitConfig(), channels=6, video_width=16, text_width=8).eval()
    rows = memory.rows(splits=("val",))
    a, b = (embed_rows(objective, store, rows) for store in (memory, mapped))
    assert torch.equal(a.multimodal, b.multimodal)


def test_a_version_of_imu_alone_can_be_mapped(
    tmp_path: Path, store_writer: Callable[..., str]
) -> None:
    store_writer(tmp_path, takes=("train-0",), per_take=3, imu_only=True)
    batch = Triplets(open_store(str(tmp_path), load="mapped")).batch(np.array([2, 0]))
    assert tuple(batch.video.shape) == (2, 0)
    assert tuple(batch.imu.shape) == (2, 6, 250)


def test_what_zarr_must_decode_cannot_be_mapped(
    tmp_path: Path, store_writer: Callable[..., str]
) -> None:
    store_writer(tmp_path, takes=("train-0",), per_take=3, compress=True)
    with pytest.raises(UsageError, match=r"load mapped needs uncompressed .*array imu is stored"):
        open_store(str(tmp_path), load="mapped")
