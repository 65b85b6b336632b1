from pathlib import Path
from typing import Any

import pytest

from pipelines.config import PrepConfig, load_config
from pipelines.encoders.clip4clip import open_clip4clip
from pipelines.encoders.make_encoder import make_encoder
from pipelines.encoders.registry import open_encoder, open_pooler
from pipelines.encoders.seq_transf import SeqTransf
from schemas.errors import UsageError


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "tiny"
    make_encoder(path, preset="tiny", seed=1, layout="clip4clip")
    return path


def config(folder: Path | str, **overrides: Any) -> PrepConfig:
    given = {
        "dataset.name": "egoexo4d",
        "dataset.root": "/data",
        "store.uri": "/store",
        "encoder.name": str(folder),
    }
    return load_config(None, overrides={**given, **overrides})


def test_mean_needs_no_pooler(folder: Path) -> None:
    assert open_pooler(config(folder)) is None
    assert open_pooler(config("none", **{"segments.require": ["imu"]})) is None
    assert open_encoder(config("none", **{"segments.require": ["imu"]}).encoder) is None


def test_the_pooler_is_the_one_that_the_identity_names(folder: Path) -> None:
    chosen = config(folder, **{"encoder.pooling": "seqTransf"})
    pooler = open_pooler(chosen)
    assert isinstance(pooler, SeqTransf)
    assert open_pooler(chosen) is pooler
    spec = open_clip4clip(chosen.encoder).spec
    assert (spec.pooling, spec.pooling_sha256) == ("seqTransf", pooler.sha256)
    mean = open_clip4clip(config(folder).encoder).spec
    assert spec.model_copy(update={"pooling": "mean", "pooling_sha256": None}) == mean


@pytest.mark.parametrize(
    ("length_ms", "step_ms", "frames"), [(7700, 100, None), (7720, 100, 78), (5000, 50, 100)]
)
def test_longer_segments_than_positions_are_refused_before_any_work(
    folder: Path, length_ms: int, step_ms: int, frames: int | None
) -> None:
    fields = {"segments.length_ms": length_ms, "video.step_ms": step_ms}
    chosen = config(folder, **fields, **{"encoder.pooling": "seqTransf"})
    if frames is None:
        assert open_pooler(chosen) is not None
        return
    with pytest.raises(UsageError, match=rf"at most 77 frames a segment, got {frames} \(segments"):
        open_pooler(chosen)


def test_encoders_without_the_weights_are_refused(tmp_path: Path) -> None:
    make_encoder(tmp_path / "plain", preset="tiny", seed=1)
    chosen = config(tmp_path / "plain", **{"encoder.pooling": "seqTransf"})
    for opened in (open_pooler, lambda c: open_encoder(c.encoder)):
        with pytest.raises(UsageError, match="seqTransf needs a checkpoint in CLIP4Clip's layout"):
            opened(chosen)
    with pytest.raises(UsageError, match=r"encoder\.pooling seqTransf needs an encoder, got none"):
        open_pooler(config("none", **{"encoder.pooling": "seqTransf", "segments.require": ["imu"]}))
