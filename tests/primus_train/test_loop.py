import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from primus_train.checkpoint import read_checkpoint
from primus_train.config import make_fit_config
from primus_train.data.store import StoreData, open_store
from primus_train.data.triplets import Triplets
from primus_train.loop import BEST, LAST, FitState, pretrain
from primus_train.trainer import Trainer
from schemas.errors import PrimusError, UsageError

SMALL = ("objective.bank_size=16", "epochs=1", "data.batch_size=8", "log_every_steps=1")


@pytest.fixture(scope="module")
def store(toy_store: Path) -> StoreData:
    return open_store(str(toy_store), mask="half")


def run(store: StoreData, out: Path, *overrides: str, **options: Any) -> FitState:
    return pretrain(
        store, config=make_fit_config(overrides=[*SMALL, *overrides]), out=out, **options
    )


def tensors(out: Path, name: str = LAST) -> dict[str, torch.Tensor]:
    return read_checkpoint(out / name).tensors


def lines(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return set(a) == set(b) and all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.slow
def test_ten_steps_are_five_and_a_resume_and_five_to_the_bit(
    store: StoreData, tmp_path: Path
) -> None:
    settings = (
        "data.batch_size=12",
        "epochs=5",
        "checkpoint_every_steps=3",
        "optim.optimizer=adamw",
        "optim.schedule=cosine",
        "optim.warmup_steps=3",
        "optim.weight_decay=0.01",
        "optim.clip_norm=1",
        "optim.micro_batches=2",
    )
    whole = run(store, tmp_path / "whole", *settings)
    half = run(store, tmp_path / "parts", *settings, stop_after=5)
    assert (half.step, half.steps) == (5, 10)
    rest = run(store, tmp_path / "parts", *settings, resume=True)
    assert (whole.step, rest.step) == (10, 10)
    assert whole.loss == rest.loss
    assert whole.best == rest.best
    for name in (LAST, BEST):
        assert same(tensors(tmp_path / "whole", name), tensors(tmp_path / "parts", name))
    assert lines(tmp_path / "whole") == lines(tmp_path / "parts")
    trained = [x for x in lines(tmp_path / "whole") if x["kind"] == "train"]
    rates = [x["learning_rate"] for x in trained]
    assert rates[:4] == pytest.approx([0.5e-4, 1e-4, 1.5e-4, 2e-4])
    assert rates[3] > rates[4] > rates[9] > 0
    assert all(x["gradient_norm"] > 0 for x in trained)
    bank = tensors(tmp_path / "whole")
    assert int(bank["model.bank.filled"]) == 16
    # Five steps of twelve rows, every other one masked, through a ring of sixteen.
    assert int(bank["model.bank.position"]) == 10 * 6 % 16


@pytest.mark.slow
def test_a_run_killed_inside_an_epoch_goes_on_from_its_last_checkpoint(
    store: StoreData, tmp_path: Path
) -> None:
    settings = ("epochs=2", "checkpoint_every_steps=2")
    whole = run(store, tmp_path / "whole", *settings)

    def kill(state: FitState) -> None:
        if state.step == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(store, tmp_path / "killed", *settings, on_step=kill)
    # Step 4 was saved; step 5 is done again, and its line is not written twice.
    assert read_checkpoint(tmp_path / "killed" / LAST).meta["step"] == 4
    assert lines(tmp_path / "killed")[-1]["step"] == 5
    with (tmp_path / "killed" / "metrics.jsonl").open("a") as file:
        file.write('{"kind": "tra')
    run(store, tmp_path / "killed", *settings, resume=True)
    assert same(tensors(tmp_path / "whole"), tensors(tmp_path / "killed"))
    assert lines(tmp_path / "whole") == lines(tmp_path / "killed")
    assert whole.step == 6


def test_without_resume_a_run_starts_anew(store: StoreData, tmp_path: Path) -> None:
    run(store, tmp_path, stop_after=2)
    again = run(store, tmp_path, stop_after=1)
    assert again.step == 1
    assert [line["step"] for line in lines(tmp_path)] == [1]


@pytest.fixture(scope="module")
def baseline(store: StoreData, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "baseline"
    run(store, out)
    return out


@pytest.mark.parametrize(
    "override",
    [
        "objective.terms=[ss, mm]",
        "objective.alpha=2",
        "objective.beta=2",
        "objective.gamma=2",
        "objective.modalities=[video]",
        "objective.direction=symmetric",
        "objective.neighbours=imu",
        "objective.masked_neighbours=by_imu",
        "objective.bank_size=2",
        "view.transforms=[scaling]",
        "view.scaling_sigma=0.5",
        "view.reversal_probability=0.5",
        "encoder.gru_axis=time",
        "data.batch_size=6",
        "data.permute_video=takes",
        "data.permute_video=label",
        "optim.learning_rate=0.001",
        "optim.precision=bf16",
        "optim.schedule=linear",
        "optim.warmup_steps=2",
        "optim.weight_decay=0.1",
        "optim.clip_norm=0.001",
        "seed=1",
        "epochs=2",
    ],
)
def test_every_setting_changes_what_is_learned(
    store: StoreData, baseline: Path, tmp_path: Path, override: str
) -> None:
    run(store, tmp_path, override)
    name = "model.encoder.mmcl_head.weight"
    assert not torch.equal(tensors(tmp_path)[name], tensors(baseline)[name])


def test_equal_runs_are_equal_to_the_bit(store: StoreData, baseline: Path, tmp_path: Path) -> None:
    run(store, tmp_path)
    assert same(tensors(tmp_path), tensors(baseline))


def test_logs_come_as_often_as_asked(store: StoreData, tmp_path: Path) -> None:
    run(store, tmp_path, "log_every_steps=2")
    assert [(x["kind"], x["step"]) for x in lines(tmp_path)] == [
        ("train", 2),
        ("train", 3),
        ("val", 3),
    ]


def test_records_hold_losses_temperatures_and_retrieval(baseline: Path, store: StoreData) -> None:
    first, *_, last = lines(baseline)
    assert set(first) >= {"loss", "ss", "mm_video", "mm_text", "nn_imu", "nn_video", "nn_text"}
    assert first["temperature_unimodal"] == pytest.approx(0.1, rel=0.01)
    parts = ("ss", "mm_video", "mm_text", "nn_imu", "nn_video", "nn_text")
    assert first["loss"] == pytest.approx(sum(first[p] for p in parts), rel=1e-5)
    assert last["kind"] == "val"
    assert last["retrieval"]["imu_to_video"]["n"] == 6  # every other val row is masked
    events = list((baseline / "tensorboard").iterdir())
    assert len(events) == 1
    assert events[0].stat().st_size > 500
    assert len(store) == 48


def test_best_holds_no_bank_and_meta_says_what_it_is(baseline: Path, store: StoreData) -> None:
    checkpoint = read_checkpoint(baseline / BEST)
    assert not [name for name in checkpoint.tensors if "bank" in name or "adam" in name]
    meta = checkpoint.meta
    assert (meta["version"], meta["mask"], meta["step"]) == (store.version, "half", 3)
    assert meta["widths"] == {"video": 16, "text": 8}
    assert meta["imu"]["rate_hz"] == "50"
    assert meta["best"]["metric"] == "mrr"


def test_steps_report_where_the_run_stands(store: StoreData, tmp_path: Path) -> None:
    states: list[FitState] = []
    run(store, tmp_path, "epochs=2", on_step=states.append)
    assert [(s.step, s.steps, s.epoch) for s in states] == [
        (1, 6, 1),
        (2, 6, 1),
        (3, 6, 1),
        (4, 6, 2),
        (5, 6, 2),
        (6, 6, 2),
    ]
    assert {(s.train_rows, s.val_rows) for s in states} == {(24, 12)}
    assert states[2].best is None
    assert states[3].best is not None


def test_training_without_validation_rows_keeps_the_last_epoch(
    tmp_path: Path, store_writer: Callable[..., str]
) -> None:
    store_writer(tmp_path / "s", takes=("train-0", "train-1"), per_take=4)
    state = run(open_store(str(tmp_path / "s")), tmp_path / "r", "epochs=3")
    assert state.best == {"metric": "last", "value": 2.0, "epoch": 2}
    assert state.val_rows == 0
    assert same(
        tensors(tmp_path / "r", BEST),
        {k: v for k, v in tensors(tmp_path / "r").items() if "bank" not in k and "adam" not in k},
    )


def test_a_batch_larger_than_the_train_split_is_refused(store: StoreData, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"batch_size must be at most the 24 rows.*got 25"):
        run(store, tmp_path, "data.batch_size=25")


@pytest.mark.parametrize(
    ("terms", "more", "visited"),
    [
        ("[ss,mm,nn]", (), "all"),
        ("[mm]", (), "shown"),
        ("[mm,nn]", (), "shown"),
        ("[mm,nn]", ("objective.masked_neighbours=by_imu",), "all"),
        ("[nn]", ("objective.neighbours=imu",), "all"),
    ],
)
def test_only_rows_that_teach_are_visited_in_as_many_steps(
    store: StoreData,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    terms: str,
    more: tuple[str, ...],
    visited: str,
) -> None:
    seen: list[int] = []
    step = Trainer.train_step

    def train_step(self: Trainer, triplets: Triplets, rows: npt.NDArray[np.int64]) -> None:
        seen.extend(rows.tolist())
        assert len(set(rows.tolist())) == len(rows)
        step(self, triplets, rows)

    monkeypatch.setattr(Trainer, "train_step", train_step)
    state = run(store, tmp_path, f"objective.terms={terms}", "data.batch_size=4", *more)
    train = store.rows(splits=("train",))
    shown = [row for row in train.tolist() if store.valid[row, 1]]
    assert len(shown) == len(train) // 2
    assert state.step == state.steps == len(train) // 4
    assert set(seen) == set(train.tolist() if visited == "all" else shown)


def test_fewer_rows_that_teach_than_a_batch_are_refused(store: StoreData, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"at most the 12 rows .* can learn from, got 13"):
        run(store, tmp_path, "objective.terms=[mm]", "data.batch_size=13")


def test_a_version_of_imu_alone_trains_what_needs_no_video(
    tmp_path: Path, store_writer: Callable[..., str]
) -> None:
    store_writer(tmp_path / "store", imu_only=True)
    alone = open_store(str(tmp_path / "store"))
    state = run(alone, tmp_path / "ss", "objective.terms=[ss]", "epochs=1")
    assert state.step == state.steps > 0
    with pytest.raises(UsageError, match=r"learns from video and text, but no row of split train"):
        run(alone, tmp_path / "mm", "objective.terms=[mm]", "epochs=1")


def test_a_loss_that_is_not_finite_stops_the_run(store: StoreData, tmp_path: Path) -> None:
    with pytest.raises(PrimusError, match=r"loss must be finite, got (nan|inf) at step"):
        run(store, tmp_path, "optim.learning_rate=1e30", "epochs=3")


def test_a_temperature_that_is_not_finite_stops_the_run(
    store: StoreData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = Trainer.train_step

    def break_temperature(self: Trainer, triplets: Triplets, rows: Any) -> None:
        good(self, triplets, rows)
        with torch.no_grad():
            for weight in self.objective.temperature_unimodal.parameters():
                weight.fill_(torch.nan)

    monkeypatch.setattr(Trainer, "train_step", break_temperature)
    message = "temperature_unimodal must be finite, got nan after 1 steps"
    with pytest.raises(PrimusError, match=message):
        run(store, tmp_path, "log_every_steps=1")
    assert not (tmp_path / LAST).exists()


def test_a_bad_loss_is_named_by_its_step_however_rarely_losses_are_read(
    store: StoreData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(store, tmp_path, stop_after=1)
    good = (tmp_path / LAST).read_bytes()
    poisoned = Trainer.train_step

    def poison(self: Trainer, triplets: Triplets, rows: Any) -> None:
        if self.step == 2:
            with torch.no_grad():
                self.objective.encoder.ssl_head.bias.fill_(torch.nan)
        poisoned(self, triplets, rows)

    monkeypatch.setattr(Trainer, "train_step", poison)
    settings = ("epochs=2", "log_every_steps=1000", "checkpoint_every_steps=4")
    with pytest.raises(PrimusError, match="loss must be finite, got nan at step 2:"):
        run(store, tmp_path, *settings, resume=True)
    # Step 3 ended an epoch: neither its checkpoint nor a best one was written.
    assert (tmp_path / LAST).read_bytes() == good
    assert not (tmp_path / BEST).exists()


def test_weights_that_are_not_finite_are_never_saved(
    store: StoreData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = Trainer.train_step

    def break_weights(self: Trainer, triplets: Triplets, rows: Any) -> None:
        good(self, triplets, rows)
        if self.step == 2:  # the loss was fine; what the step made of the weights is not
            with torch.no_grad():
                self.objective.encoder.ssl_head.weight[0, 0] = torch.inf

    monkeypatch.setattr(Trainer, "train_step", break_weights)
    name = "model.encoder.ssl_head.weight after 2 steps"
    with pytest.raises(PrimusError, match=f"weights must be finite, got NaN or infinity in {name}"):
        run(store, tmp_path, "checkpoint_every_steps=2")
    assert not (tmp_path / LAST).exists()


def test_losses_wait_unread_between_lines_of_the_log(store: StoreData, tmp_path: Path) -> None:
    seen: list[float] = []
    run(store, tmp_path, "log_every_steps=2", on_step=lambda state: seen.append(state.loss))
    assert torch.isnan(torch.tensor(seen)).tolist() == [True, False, False]
    assert seen[1] == lines(tmp_path)[0]["loss"]
    # The last step is always read, and so is what the checkpoint says.
    assert seen[2] == lines(tmp_path)[1]["loss"] == read_checkpoint(tmp_path / LAST).meta["loss"]


def test_a_run_ends_when_its_epochs_bring_nothing_and_stays_ended(
    store: StoreData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = [0.5, 0.6, 0.4, 0.6, 0.9]

    def scored(_: object, *, epoch: int) -> dict[str, Any]:
        return {"metric": "mrr", "value": values[epoch], "epoch": epoch}

    monkeypatch.setattr("primus_train.loop.score", scored)
    settings = ("data.batch_size=12", "epochs=5", "patience=2", "objective.terms=[ss]")
    ended = run(store, tmp_path, *settings)
    # An equal value is no better one.
    assert (ended.finished, ended.step, ended.steps, ended.epoch) == (True, 8, 10, 4)
    assert ended.best == {"metric": "mrr", "value": 0.6, "epoch": 1}
    again = run(store, tmp_path, *settings, resume=True)
    assert (again.finished, again.step) == (True, 8)
    more = run(store, tmp_path, *settings, "patience=3", resume=True)
    assert (more.finished, more.step, more.best) == (True, 10, scored(None, epoch=4))


def test_patience_needs_something_to_measure(
    tmp_path: Path, store_writer: Callable[..., str]
) -> None:
    store_writer(tmp_path / "store", takes=("train-0", "train-1", "test-0"))
    with pytest.raises(UsageError, match=r"patience needs rows of split val.*set patience=null"):
        run(open_store(str(tmp_path / "store")), tmp_path / "run", "patience=1")


@pytest.mark.parametrize("settings", [("memory", "host"), ("mapped", "host"), ("mapped", "device")])
def test_where_the_arrays_lie_changes_no_bit(
    toy_store: Path, baseline: Path, tmp_path: Path, settings: tuple[str, str]
) -> None:
    load, place = settings
    kind: Any = load
    run(open_store(str(toy_store), mask="half", load=kind), tmp_path, f"data.place={place}")
    for name in (LAST, BEST):
        assert same(tensors(tmp_path, name), tensors(baseline, name))
    assert lines(tmp_path) == lines(baseline)


@pytest.mark.slow
def test_learning_brings_the_loss_down_and_its_own_video_up(
    toy_store: Path, tmp_path: Path
) -> None:
    store = open_store(str(toy_store))
    settings = ("epochs=25", "optim.learning_rate=0.001", "data.batch_size=12")
    run(store, tmp_path, *settings, "objective.terms=[mm]")
    train = [x["loss"] for x in lines(tmp_path) if x["kind"] == "train"]
    assert train[-1] < 0.5 * train[0]
    best = read_checkpoint(tmp_path / BEST).meta["best"]
    # Of 12 val segments; a random order has an MRR of 0.26.
    assert best["value"] > 0.45
