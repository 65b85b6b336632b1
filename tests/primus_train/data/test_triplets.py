from pathlib import Path

import numpy as np
import torch

from primus_train.data.store import open_store
from primus_train.data.triplets import Triplets, epoch_order


def test_a_batch_holds_the_rows_asked_for_in_their_order(toy_store: Path) -> None:
    store = open_store(str(toy_store), mask="half")
    batch = Triplets(store).batch(np.array([5, 2]))
    assert torch.equal(batch.imu, store.imu[[5, 2]])
    assert torch.equal(batch.video, store.video[[5, 2]].float())
    assert torch.equal(batch.text, store.text[[5, 2]].float())
    assert batch.valid.tolist() == [[True, False, False], [True, True, True]]
    assert len(batch) == 2


def test_shown_video_comes_from_the_mapped_row_and_nothing_else_moves(toy_store: Path) -> None:
    store = open_store(str(toy_store))
    video_of = np.arange(len(store))[::-1].copy()
    batch = Triplets(store, video_of=video_of).batch(np.array([1]))
    assert torch.equal(batch.video[0], store.video[len(store) - 2].float())
    assert torch.equal(batch.imu[0], store.imu[1])
    assert torch.equal(batch.text[0], store.text[1].float())


def test_order_depends_on_seed_and_epoch_alone_and_repeats_nothing() -> None:
    rows = np.arange(100, 111)
    first = epoch_order(rows, seed=3, epoch=0, batch_size=4)
    assert first.shape == (2, 4)
    assert len(set(first.ravel()) & set(rows)) == 8
    np.testing.assert_array_equal(first, epoch_order(rows, seed=3, epoch=0, batch_size=4))
    assert first.tolist() != epoch_order(rows, seed=3, epoch=1, batch_size=4).tolist()
    assert first.tolist() != epoch_order(rows, seed=4, epoch=0, batch_size=4).tolist()


def test_order_of_exactly_one_batch_is_a_permutation() -> None:
    assert sorted(epoch_order(np.arange(4), seed=0, epoch=0, batch_size=4)[0]) == [0, 1, 2, 3]
    assert epoch_order(np.arange(3), seed=0, epoch=0, batch_size=4).shape == (0, 4)


def test_an_epoch_of_more_steps_goes_over_the_rows_again_in_other_orders() -> None:
    rows = np.arange(50, 59)
    order = epoch_order(rows, seed=3, epoch=1, batch_size=4, steps=5)
    assert order.shape == (5, 4)
    # The first pass is the one of an epoch of its own, and no batch or pass holds a row twice.
    np.testing.assert_array_equal(order[:2], epoch_order(rows, seed=3, epoch=1, batch_size=4))
    passes = [order[:2].ravel().tolist(), order[2:4].ravel().tolist()]
    assert [len(set(one)) for one in passes] == [8, 8]
    assert passes[0] != passes[1]
    assert set(order.ravel()) <= set(rows)
