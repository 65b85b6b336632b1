"""Another pooling publishes from the same frames part: no frame is decoded or encoded again."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl
import pytest
import torch
import zarr

from flows.prepare import RunSummary, prepare
from pipelines.encoders.clip4clip import Clip4ClipEncoder
from pipelines.encoders.make_encoder import make_encoder
from pipelines.parts.store import PartStore
from pipelines.stores.verify import read_manifest, verify_version
from schemas.errors import UsageError
from schemas.manifest import RunRecord
from tests.integration.conftest import make_config

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "clip4clip"
    make_encoder(folder, preset="tiny", seed=3, layout="clip4clip")
    return folder


@pytest.fixture(scope="module")
def mean(
    small_dataset: Path, encoder: Path, tmp_path_factory: pytest.TempPathFactory
) -> RunSummary:
    store = tmp_path_factory.mktemp("pooling") / "store"
    return prepare(make_config(small_dataset, encoder=encoder, store=store, dataset__limit=2))


def refuse(*_: object, **__: object) -> None:
    raise AssertionError("a frame was touched")


def array(run: RunSummary, name: str) -> npt.NDArray[np.float32]:
    group = zarr.open_group(Path(run.store) / "versions" / run.version / "arrays.zarr", mode="r")
    values: npt.NDArray[np.float32] = np.asarray(group[name]).astype(np.float32)
    return values


def head_by_hand(
    state: dict[str, torch.Tensor], frames: npt.NDArray[np.float16]
) -> npt.NDArray[np.float32]:
    """Return the unit embedding of frames (F, 64), by one head's attention written out."""
    part = {k.removeprefix("transformerClip.resblocks."): v for k, v in state.items()}
    original = torch.from_numpy(frames.astype(np.float32))
    x = original + state["frame_position_embeddings.weight"][: len(frames)]
    for i in range(2):
        seen = torch.layer_norm(x, [64], part[f"{i}.ln_1.weight"], part[f"{i}.ln_1.bias"], 1e-12)
        weight, bias = part[f"{i}.attn.in_proj_weight"], part[f"{i}.attn.in_proj_bias"]
        q, k, v = (seen @ w.T + b for w, b in zip(weight.chunk(3), bias.chunk(3), strict=True))
        mixed = torch.softmax(q @ k.T / 8, dim=1) @ v
        x = x + mixed @ part[f"{i}.attn.out_proj.weight"].T + part[f"{i}.attn.out_proj.bias"]
        seen = torch.layer_norm(x, [64], part[f"{i}.ln_2.weight"], part[f"{i}.ln_2.bias"], 1e-12)
        up = seen @ part[f"{i}.mlp.c_fc.weight"].T + part[f"{i}.mlp.c_fc.bias"]
        up = up / (1 + torch.exp(-1.702 * up))
        x = x + up @ part[f"{i}.mlp.c_proj.weight"].T + part[f"{i}.mlp.c_proj.bias"]
    x = x + original
    unit = (x / x.norm(dim=1, keepdim=True)).mean(dim=0)
    vector: npt.NDArray[np.float32] = (unit / unit.norm()).numpy()
    return vector


def part_times(store: Path) -> dict[Path, int]:
    return {
        path: path.stat().st_mtime_ns
        for kind in ("imu", "frames", "text")
        for path in (store / "parts" / kind).rglob("*.arrow")
    }


def test_another_pooling_touches_no_frame(
    mean: RunSummary, small_dataset: Path, encoder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Path(mean.store)
    parts = part_times(store)
    monkeypatch.setattr("pipelines.video.decode.VideoReader.read", refuse)
    monkeypatch.setattr(Clip4ClipEncoder, "encode_frames", refuse)
    monkeypatch.setattr(Clip4ClipEncoder, "encode_texts", refuse)
    config = make_config(
        small_dataset,
        encoder=encoder,
        store=store,
        dataset__limit=2,
        encoder__pooling="seqTransf",
    )
    run = prepare(config)
    assert (run.computed_takes, run.reused_takes, run.stored) == (0, 2, mean.stored)
    assert run.version != mean.version
    assert part_times(store) == parts
    assert verify_version(store, run.version) == []

    spec, before = (read_manifest(store, r.version).encoder for r in (run, mean))
    assert spec is not None
    assert before is not None
    assert (spec.pooling, before.pooling, before.pooling_sha256) == ("seqTransf", "mean", None)
    assert len(spec.pooling_sha256 or "") == 64
    assert spec.weights_sha256 == before.weights_sha256

    for name in ("imu", "text", "valid"):
        np.testing.assert_array_equal(array(run, name), array(mean, name))
    folder = store / "versions" / run.version
    rows = pl.read_parquet(folder / "segments.parquet")
    record = RunRecord.model_validate_json((folder / "run.json").read_text())
    state = torch.load(encoder / "pytorch_model.bin", weights_only=True)
    found = {"mean": array(mean, "video"), "seqTransf": array(run, "video")}
    checked = 0
    for uid, keys in record.parts.items():
        batches = list(PartStore(store / "parts").read("frames", keys["frames"]))
        t_ns = np.concatenate([b.column("t_ns").to_numpy() for b in batches])
        flat = np.concatenate([b.column("embedding").flatten().to_numpy() for b in batches])
        frames = flat.reshape(len(t_ns), 64)
        for i, row in enumerate(rows.iter_rows(named=True)):
            if row["take_uid"] != uid or not row["has_video"]:
                continue
            inside = frames[(t_ns >= row["start_ns"]) & (t_ns < row["end_ns"])]
            by_hand = {"seqTransf": head_by_hand(state, inside)}
            average = inside.astype(np.float64).mean(axis=0)
            by_hand["mean"] = (average / np.linalg.norm(average)).astype(np.float32)
            for pooling, vector in by_hand.items():
                # Stored as float16: half a unit in the last place of a value below one.
                assert np.abs(found[pooling][i] - vector).max() < 2.5e-4 + 1e-5
            checked += 1
    assert checked == run.stored > 4
    assert np.abs(found["mean"] - found["seqTransf"]).max() > 0.01


def test_going_back_gives_the_same_version(
    mean: RunSummary, small_dataset: Path, encoder: Path
) -> None:
    config = make_config(small_dataset, encoder=encoder, store=Path(mean.store), dataset__limit=2)
    again = prepare(config)
    assert (again.version, again.computed_takes) == (mean.version, 0)


def test_what_the_head_cannot_take_ends_the_run_before_any_work(
    small_dataset: Path, encoder: Path, tmp_path: Path
) -> None:
    config = make_config(
        small_dataset,
        encoder=encoder,
        store=tmp_path / "store",
        encoder__pooling="seqTransf",
        video__step_ms=50,
    )
    with pytest.raises(UsageError, match="takes at most 77 frames a segment, got 100"):
        prepare(config)
    assert not (tmp_path / "store").exists()
