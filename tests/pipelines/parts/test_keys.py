"""Keys change with what decides a part's bytes, and with nothing else."""

from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines.config import PrepConfig, load_config
from pipelines.parts.keys import (
    frames_key,
    imu_key,
    raw_imu_key,
    read_source,
    take_path,
    text_key,
)
from schemas.embedding import EmbeddingSpec
from schemas.errors import TakeError
from schemas.manifest import SourceEntry
from schemas.take import ImuStream, Take, VideoStream

SPEC = EmbeddingSpec(
    name="tiny", revision=None, weights_sha256="0" * 64, video_dim=8, text_dim=8, image_size=224,
    max_tokens=77, batch_size=4, device_kind="cpu", precision="float32",
)  # fmt: skip
TAKE = Take(
    dataset="egoexo4d", take_uid="u", take_name="n", participant="egoexo4d:1", label="cook",
    video=VideoStream(path="v.mp4", variant="448"), imu=ImuStream(path="i.vrs", label="imu-right"),
    extras={"timesync_start_idx": 3},
)  # fmt: skip
SOURCES = [SourceEntry(take_uid="u", path="v.mp4", size=5, fingerprint="f" * 64)]


def config(**overrides: Any) -> PrepConfig:
    base = {"dataset.name": "egoexo4d", "dataset.root": "/data", "store.uri": "/store"}
    return load_config(None, overrides={**base, **overrides})


def keys(cfg: PrepConfig, take: Take = TAKE, spec: EmbeddingSpec = SPEC) -> tuple[str, str]:
    return (
        imu_key(SOURCES, config=cfg, take=take),
        frames_key(SOURCES, config=cfg, take=take, encoder=spec),
    )


@pytest.mark.parametrize(
    ("field", "value", "changes"),
    [
        ("dataset.limit", 3, (False, False)),
        ("dataset.positions", ["waist"], (False, False)),
        ("text.cleaning", "published", (False, False)),
        ("text.sources", ["expert_commentary"], (False, False)),
        ("text.passes", "first", (False, False)),
        ("text.subjects", "wearer", (False, False)),
        ("text.visibility", "visible", (False, False)),
        ("splits.kind", "official", (False, False)),
        ("splits.test_participants", ["1"], (False, False)),
        ("segments.policy", "published", (False, False)),
        ("masks", [{"name": "m", "keep": 0.5}], (False, False)),
        ("encoder.pooling", "seqTransf", (False, False)),
        ("imu.resampling", "window", (False, False)),
        ("imu.stream", "imu-left", (True, False)),
        ("imu.rate_hz", "100", (True, False)),
        ("imu.max_gap_ms", 50, (True, False)),
        ("imu.alignment", "first_sample", (True, False)),
        ("video.tolerance_ms", 30, (False, True)),
        ("dataset.root", "/elsewhere", (False, False)),
        ("store.uri", "/elsewhere", (False, False)),
        ("execution.workers", 7, (False, False)),
        ("segments.length_ms", 4000, (False, False)),
        ("dataset.labels", "published", (False, False)),
        ("imu.block_s", 7, (False, False)),
        ("imu.cutoff_hz", 15.0, (True, False)),
        ("imu.accept_sensor_frame", True, (True, False)),
        ("dataset.timesync_k0", 1, (True, False)),
        ("video.step_ms", 200, (False, True)),
        ("video.decoder", "pyav", (False, True)),
        ("video.hardware", "none", (False, True)),
        ("execution.threads", 3, (False, False)),
        ("audit.enabled", False, (False, True)),
        ("audit.max_lag_ms", 900, (False, False)),
        ("audit.window_s", 30, (False, False)),
        ("audit.suspect_ms", 30, (False, False)),
        ("audit.correct", True, (False, False)),
        ("quality.max_abs_lag_ms", 100.0, (False, False)),
    ],
)
def test_only_what_matters_to_a_part_enters_its_key(
    field: str, value: object, changes: tuple[bool, bool]
) -> None:
    before, after = keys(config()), keys(config(**{field: value}))
    assert tuple(a != b for a, b in zip(before, after, strict=True)) == changes


@pytest.mark.parametrize(
    ("field", "value", "changes"),
    [
        ("imu.stream", "imu-left", True),
        ("imu.alignment", "first_sample", True),
        ("imu.accept_sensor_frame", True, True),
        ("dataset.timesync_k0", 1, True),
        # The samples are kept as they were recorded: what resamples them does not matter.
        ("imu.rate_hz", "100", False),
        ("imu.cutoff_hz", 15.0, False),
        ("imu.max_gap_ms", 50, False),
        ("imu.resampling", "window", False),
        ("text.passes", "first", False),
        ("quality.max_imu_gap_ms", 50.0, False),
    ],
)
def test_only_what_matters_to_recorded_samples_enters_their_key(
    field: str, value: object, changes: bool
) -> None:
    before = raw_imu_key(SOURCES, config=config(), take=TAKE)
    after = raw_imu_key(SOURCES, config=config(**{field: value}), take=TAKE)
    assert (before != after) == changes


def test_rows_variant_and_encoder_enter_the_keys() -> None:
    moved = replace(TAKE, extras={"timesync_start_idx": 4})
    full = replace(TAKE, video=VideoStream(path="v.mp4", variant="full"))
    other = SPEC.model_copy(update={"weights_sha256": "1" * 64})
    base = keys(config())
    assert keys(config(), take=moved)[0] != base[0]
    assert keys(config(), take=full)[1] != base[1]
    assert keys(config(), spec=other)[1] != base[1]
    assert keys(config(), take=replace(TAKE, label="dance")) == base


def test_pooling_enters_no_part() -> None:
    pooled = SPEC.model_copy(update={"pooling": "seqTransf", "pooling_sha256": "2" * 64})
    assert keys(config(), spec=pooled) == keys(config())
    assert text_key(["a"], encoder=pooled) == text_key(["a"], encoder=SPEC)


def test_precision_enters_the_parts() -> None:
    half = SPEC.model_copy(update={"precision": "bfloat16"})
    assert keys(config(), spec=half)[1] != keys(config())[1]
    assert text_key(["a"], encoder=half) != text_key(["a"], encoder=SPEC)


def test_the_wanted_grid_times_enter_where_only_they_are_covered() -> None:
    def key(coverage: str, grid: list[int] | None) -> str:
        times = None if grid is None else np.array(grid, np.int64)
        cfg = config(**{"video.coverage": coverage})
        return frames_key(SOURCES, config=cfg, take=TAKE, encoder=SPEC, grid=times)

    assert key("needed", [0, 100]) == key("needed", [0, 100])
    assert len({key("all", None), key("needed", [0, 100]), key("needed", [0, 200])}) == 3
    for coverage, grid in (("all", [0]), ("needed", None)):
        with pytest.raises(ValueError, match=f"coverage {coverage} must go with its grid times"):
            key(coverage, grid)


def test_text_key_ignores_order() -> None:
    assert text_key(["b", "a"], encoder=SPEC) == text_key(["a", "b"], encoder=SPEC)
    assert text_key(["a"], encoder=SPEC) != text_key(["a", "b"], encoder=SPEC)


def test_fingerprint_is_the_digest_of_the_whole_file_and_ignores_mtime(tmp_path: Path) -> None:
    (tmp_path / "v.mp4").write_bytes(b"video")
    source = read_source(tmp_path, "u", "v.mp4")
    assert (source.size, source.fingerprint) == (5, sha256(b"video").hexdigest())


def test_large_files_are_fingerprinted_by_spaced_blocks(tmp_path: Path) -> None:
    path = tmp_path / "big.mp4"
    size = (64 << 20) + 1
    with path.open("wb") as file:
        file.truncate(size)
    before = read_source(tmp_path, "u", "big.mp4").fingerprint
    block = 1 << 20
    expected = sha256(b"".join(bytes(block) for _ in range(16))).hexdigest()
    assert before == expected
    for at in (0, size - 1, (size - block) * 7 // 15 + 10):
        with path.open("r+b") as file:
            file.seek(at)
            file.write(b"x")
        assert read_source(tmp_path, "u", "big.mp4").fingerprint != before
        with path.open("r+b") as file:
            file.seek(at)
            file.write(b"\0")


@pytest.mark.parametrize("relative", ["../secret", "/etc/hostname", "a/../../secret"])
def test_paths_from_data_stay_inside_the_root(tmp_path: Path, relative: str) -> None:
    (tmp_path / "secret").write_text("x")
    root = tmp_path / "root"
    root.mkdir()
    with pytest.raises(TakeError, match="path_escapes_root"):
        take_path(root, relative)


def test_a_missing_file_is_a_fault_of_the_take(tmp_path: Path) -> None:
    with pytest.raises(TakeError, match=r"file_missing: file must exist, got gone\.mp4"):
        take_path(tmp_path, "gone.mp4")


@pytest.mark.parametrize("name", ["a\0b", "a" * 300, "\ud800"], ids=["nul", "long", "half_sign"])
def test_what_can_be_no_file_name_is_a_missing_file(tmp_path: Path, name: str) -> None:
    with pytest.raises(TakeError, match="path must name a file, got '") as caught:
        take_path(tmp_path, name)
    assert caught.value.code == "file_missing"
    caught.value.detail.encode()
