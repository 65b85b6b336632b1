from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from primus_train.config import make_fit_config
from primus_train.data.store import open_store
from primus_train.loop import BEST, pretrain
from primus_train.objectives.registry import make_objective
from primus_train.representation import BLOCK, embed_rows, read_pretrained
from schemas.errors import UsageError

SMALL = ("objective.bank_size=16", "epochs=1", "data.batch_size=12", "seed=3")


@pytest.fixture(scope="module")
def run(toy_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("run")
    pretrain(open_store(str(toy_store)), config=make_fit_config(overrides=SMALL), out=out)
    return out


def test_trained_weights_come_back_and_untrained_ones_are_those_of_the_seed(run: Path) -> None:
    trained = read_pretrained(run / BEST)
    untrained = read_pretrained(run / BEST, untrained=True)
    fresh = make_objective(trained.config, channels=6, video_width=16, text_width=8)
    weights = [o.encoder.mmcl_head.weight for o in (trained.objective, untrained.objective, fresh)]
    assert not torch.equal(weights[0], weights[1])
    assert torch.equal(weights[1], weights[2])
    assert not trained.objective.training
    assert (trained.untrained, untrained.untrained) == (False, True)
    assert trained.sha256 == untrained.sha256
    assert trained.config == make_fit_config(overrides=SMALL)


def test_rows_are_embedded_in_their_order_whatever_the_block(
    toy_store: Path, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(str(toy_store))
    objective = read_pretrained(run / BEST).objective
    rows = np.array([7, 3, 40, 11, 0])
    told: list[int] = []
    monkeypatch.setattr("primus_train.representation.BLOCK", 2)
    got = embed_rows(objective, store, rows, on_rows=told.append)
    with torch.no_grad():
        for i, row in enumerate(rows):
            one = objective.encoder(store.imu[row : row + 1])
            for name in ("backbone", "unimodal", "multimodal"):
                torch.testing.assert_close(getattr(got, name)[i], getattr(one, name)[0])
    assert told == [2, 4, 5]
    assert BLOCK == 256


def test_no_rows_give_no_embeddings(toy_store: Path, run: Path) -> None:
    objective = read_pretrained(run / BEST).objective
    got = embed_rows(objective, open_store(str(toy_store)), np.array([], dtype=np.int64))
    assert got.multimodal.shape == (0, 512)


def test_windows_of_another_rate_are_refused(
    tmp_path: Path, store_writer: Callable[..., str], run: Path
) -> None:
    store_writer(tmp_path, takes=("test-0",), per_take=1)
    store = open_store(str(tmp_path))
    pretrained = read_pretrained(run / BEST)
    pretrained.check_fits(store)
    pretrained.meta["imu"]["rate_hz"] = "100"
    with pytest.raises(UsageError, match=r"imu rate_hz must be as in pretraining, 100, got 50"):
        pretrained.check_fits(store)
