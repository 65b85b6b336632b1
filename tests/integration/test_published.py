"""The published profile from end to end, against loops that follow the published rules alone."""

import json
import math
import string
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt
import polars as pl
import pytest
import zarr

from flows.prepare import prepare
from flows.presets import read_preset
from pipelines.config import load_config
from schemas.store import ARRAYS, SEGMENTS, version_path
from schemas.time import NS_PER_S

data_provider = pytest.importorskip("projectaria_tools.core.data_provider")
pytestmark = pytest.mark.slow

Values = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    root: Path
    table: pl.DataFrame
    imu: npt.NDArray[np.float32]
    dropped: dict[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """A row by the published rules: window in whole seconds and cleaned text."""

    start_s: int
    end_s: int
    narration_s: float
    text: str


@pytest.fixture(scope="module")
def published(
    small_dataset: Path, tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Published:
    store = tmp_path_factory.mktemp("published")
    config = load_config(
        None,
        overrides={
            "dataset.name": "egoexo4d",
            "dataset.root": str(small_dataset),
            "dataset.limit": 3,
            "encoder.name": str(tiny_encoder),
            "store.uri": str(store),
            "execution.executor": "inline",
        },
        base=read_preset("published"),
    )
    summary = prepare(config)
    version = store / version_path(summary.version)
    return Published(
        root=small_dataset,
        table=pl.read_parquet(version / SEGMENTS),
        imu=np.asarray(zarr.open_group(version / ARRAYS, mode="r")["imu"][:]),
        dropped=summary.dropped,
    )


def first_pass(root: Path, take_uid: str) -> list[dict[str, Any]]:
    for split in ("train", "val"):
        path = root / "annotations" / f"atomic_descriptions_{split}.json"
        passes = json.loads(path.read_text())["annotations"].get(take_uid)
        if passes:
            descriptions: list[dict[str, Any]] = passes[0]["descriptions"]
            return descriptions
    return []


def video_seconds(root: Path, take_name: str) -> float:
    folder = root / "takes" / take_name / "frame_aligned_videos" / "downscaled" / "448"
    (path,) = folder.glob("*_214-1.mp4")
    with av.open(str(path)) as container:
        return sum(packet.size > 0 for packet in container.demux(video=0)) / 30


def clean(raw: str) -> str:
    text = raw.replace("#C C ", "")
    text = "".join(letter for letter in text if letter != "C")
    text = text.replace("#unsure", "something")
    while text[:1] == " " or text[-1:] == " ":
        text = text.removeprefix(" ").removesuffix(" ")
    while text and text[0] in string.punctuation:
        text = text[1:]
    while text and text[-1] in string.punctuation:
        text = text[:-1]
    return text.lower()[:128]


def window(t: float, duration: float) -> tuple[int, int] | None:
    if t <= 5:
        low, high = 0.0, 5.0
    elif t + 5 >= duration:
        low, high = duration - 5, duration
    else:
        low, high = t - 2.5, t + 2.5
    ends = math.floor(low), math.floor(high)
    return None if ends[1] > duration else ends


def expected_rows(root: Path, *, take_uid: str, take_name: str) -> tuple[list[Expected], int]:
    """Return the rows of a take, and how many of its sentences lie outside it."""
    duration = video_seconds(root, take_name)
    rows, outside = [], 0
    for entry in first_pass(root, take_uid):
        t = entry["timestamp"]
        if not 0 <= t < duration:
            outside += 1
            continue
        ends = window(t, duration)
        if ends is not None:
            rows.append(
                Expected(start_s=ends[0], end_s=ends[1], narration_s=t, text=clean(entry["text"]))
            )
    return rows, outside


def read_pairs(path: Path) -> tuple[npt.NDArray[np.int64], Values]:
    """Return stamps (N,) and raw values (N, 6) of the records of imu-right that are valid."""
    provider = data_provider.create_vrs_data_provider(str(path))
    stream = provider.get_stream_id_from_label("imu-right")
    stamps, values = [], []
    for i in range(provider.get_num_data(stream)):
        record = provider.get_imu_data_by_index(stream, i)
        if record.accel_valid and record.gyro_valid:
            stamps.append(record.capture_timestamp_ns)
            values.append([*record.accel_msec2, *record.gyro_radsec])
    return np.array(stamps, dtype=np.int64), np.array(values)


def resample_slowly(cut: Values, *, rate_in: int) -> Values:
    """Sum the windowed sinc for every output sample of one window, 50 Hz."""
    b = 0.99 * 50
    k = np.arange(len(cut)) / rate_in
    out = []
    for m in range(math.ceil(len(cut) * 50 / rate_in)):
        u = b * (k - m / 50)
        near = np.abs(u) < 6
        weights = b / rate_in * np.sinc(u[near]) * np.cos(np.pi * u[near] / 12) ** 2
        out.append((weights[:, None] * cut[near]).sum(axis=0))
    return np.array(out)


def takes_of(root: Path) -> list[tuple[str, str]]:
    """Return uid and name of the takes that were prepared: the first three by uid."""
    entries = json.loads((root / "takes.json").read_text())
    return sorted((entry["take_uid"], entry["take_name"]) for entry in entries)[:3]


def test_windows_and_sentences_are_those_of_the_published_rule(published: Published) -> None:
    want: Counter[tuple[str, float, float, float, str]] = Counter()
    dropped: Counter[str] = Counter()
    for uid, name in takes_of(published.root):
        rows, outside = expected_rows(published.root, take_uid=uid, take_name=name)
        dropped["narration_outside_take"] += outside
        for row in rows:
            if row.text:
                want[uid, row.start_s, row.end_s, round(row.narration_s, 6), row.text] += 1
            else:
                dropped["text_empty"] += 1
    seconds = [pl.col(f"{name}_ns") / NS_PER_S for name in ("start", "end", "narration")]
    got = published.table.select("take_uid", *(s.round(6) for s in seconds), "text").rows()
    assert Counter(got) == want
    assert len({(uid, start) for uid, start, *_ in want}) < want.total() > 10
    assert published.dropped == dict(+dropped)


def test_imu_windows_are_those_of_a_slow_loop(published: Published) -> None:
    uids = published.table["take_uid"].to_list()
    starts = published.table["start_ns"].to_list()
    pairs = {}
    for uid, name in takes_of(published.root):
        (path,) = (published.root / "takes" / name).glob("*.vrs")
        stamps, values = read_pairs(path)
        pairs[uid] = stamps - stamps[0], values
    compared = set()
    for row, (uid, start_ns) in enumerate(zip(uids, starts, strict=True)):
        t_ns, values = pairs[uid]
        inside = (t_ns >= start_ns) & (t_ns < start_ns + 5 * NS_PER_S)
        cut, at = values[inside], t_ns[inside]
        want = resample_slowly(cut, rate_in=int(1000 / (np.diff(at).mean() / 1e6)))[:250]
        assert want.shape == (250, 6)
        np.testing.assert_allclose(published.imu[row], want.T, rtol=0, atol=2e-5)
        compared.add((uid, start_ns))
    assert len(compared) >= 4
    assert published.table["imu_padded_samples"].to_list() == [0] * len(uids)
    assert set(published.table["imu_frame"].to_list()) == {"sensor"}
