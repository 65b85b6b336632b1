"""Stored video and text vectors against the plain way: PyAV, PIL and transformers, one by one."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
import pytest
import torch
import zarr
from transformers import AutoTokenizer, CLIPTextModelWithProjection, CLIPVisionModelWithProjection
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

from flows.prepare import prepare
from pipelines.parts.store import PartStore
from pipelines.synthetic.egoexo4d import write_egoexo4d
from schemas.time import NS_PER_MS
from tests.integration.conftest import make_config

pytestmark = pytest.mark.slow

GRID_NS = 100 * NS_PER_MS
FRAMES = 50
Vectors = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    root: Path
    encoder: Path
    store: Path
    version: str

    @property
    def folder(self) -> Path:
        return self.store / "versions" / self.version


@dataclass(frozen=True, slots=True, kw_only=True)
class TakeVectors:
    name: str
    start_ns: npt.NDArray[np.int64]
    stored: Vectors
    frames: Vectors
    reference: Vectors


@pytest.fixture(scope="module", params=["small", pytest.param("demo size", marks=pytest.mark.long)])
def published(
    request: pytest.FixtureRequest,
    small_dataset: Path,
    tiny_encoder: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Published:
    root = small_dataset
    if request.param != "small":
        root = tmp_path_factory.mktemp("parity-data")
        write_egoexo4d(root, takes=32, seconds=40.0, seed=0, workers=2)
    store = tmp_path_factory.mktemp("parity") / "store"
    summary = prepare(make_config(root, encoder=tiny_encoder, store=store))
    return Published(root=root, encoder=tiny_encoder, store=store, version=summary.version)


def reference_frames(video: Path, encoder: Path) -> Vectors:
    """Return the embedding of each grid time's nearest frame, by PyAV, PIL and transformers."""
    model = CLIPVisionModelWithProjection.from_pretrained(encoder).eval()
    processor = CLIPImageProcessorPil()
    rows: list[torch.Tensor] = []
    with av.open(str(video)) as container, torch.no_grad():
        for number, frame in enumerate(container.decode(video=0)):
            # At 30 fps each third frame falls on a grid time.
            assert frame.time == pytest.approx(number / 30, abs=1e-6)
            if number % 3 == 0:
                pixels = processor(frame.to_image(), return_tensors="pt")["pixel_values"]
                rows.append(model(pixel_values=pixels).image_embeds[0])
    return torch.stack(rows).double().numpy()


def window(rows: Vectors, start_ns: int) -> Vectors:
    first = -(-start_ns // GRID_NS)
    assert first + FRAMES <= len(rows)
    mean = rows[first : first + FRAMES].mean(axis=0)
    result: Vectors = mean / np.linalg.norm(mean)
    return result


def takes(published: Published) -> Iterator[TakeVectors]:
    table = pq.read_table(published.folder / "segments.parquet")
    video = np.asarray(zarr.open_group(published.folder / "arrays.zarr", mode="r")["video"][:])
    parts = json.loads((published.folder / "run.json").read_text())["parts"]
    uids = np.array(table.column("take_uid").to_pylist())
    names = dict(zip(uids.tolist(), table.column("take_name").to_pylist(), strict=True))
    start_ns = table.column("start_ns").to_numpy()
    for uid, name in names.items():
        part = PartStore(published.store / "parts").read_table("frames", parts[uid]["frames"])
        column = part.column("embedding").combine_chunks()
        path = f"takes/{name}/frame_aligned_videos/downscaled/448/aria01_214-1.mp4"
        yield TakeVectors(
            name=name,
            start_ns=start_ns[uids == uid],
            stored=video[uids == uid].astype(np.float64),
            frames=column.flatten().to_numpy().reshape(len(part), -1).astype(np.float64),
            reference=reference_frames(published.root / path, published.encoder),
        )


def worst_ratio(take: TakeVectors, *, stored: Vectors) -> float:
    """Return the largest distance to the own reference, in distances to the next window's."""
    ratios = []
    for start_ns, vector in zip(take.start_ns.tolist(), stored, strict=True):
        last = (len(take.reference) - FRAMES) * GRID_NS
        beside = start_ns + GRID_NS if start_ns + GRID_NS <= last else start_ns - GRID_NS
        error = np.linalg.norm(vector - window(take.reference, start_ns))
        ratios.append(error / np.linalg.norm(vector - window(take.reference, beside)))
    return float(np.max(ratios))


def test_stored_vectors_are_ten_times_nearer_than_a_step_and_frames_know_their_own(
    published: Published,
) -> None:
    checked = 0
    for take in takes(published):
        checked += 1
        assert worst_ratio(take, stored=take.stored) <= 0.1, take.name
        # Every grid frame is nearest to its own reference.
        apart = np.linalg.norm(take.frames[:, None] - take.reference[None], axis=2)
        assert len(take.frames) == len(take.reference)
        np.testing.assert_array_equal(apart.argmin(axis=1), np.arange(len(take.frames)))
        # The same check fails when frames are one step late.
        late = np.concatenate([take.frames[1:], take.frames[-1:]])
        shifted = np.stack([window(late, start) for start in take.start_ns.tolist()])
        assert worst_ratio(take, stored=shifted) > 0.1, take.name
    assert checked >= 8


def test_stored_sentences_are_those_of_plain_transformers(published: Published) -> None:
    model = CLIPTextModelWithProjection.from_pretrained(published.encoder).eval()
    tokenizer = AutoTokenizer.from_pretrained(published.encoder)
    table = pq.read_table(published.folder / "segments.parquet", columns=["text"])
    stored = np.asarray(zarr.open_group(published.folder / "arrays.zarr", mode="r")["text"][:])
    known: dict[str, Vectors] = {}
    for text, vector in zip(
        table.column("text").to_pylist(), stored.astype(np.float64), strict=True
    ):
        if text not in known:
            with torch.no_grad():
                tokens = tokenizer(text, truncation=True, max_length=77, return_tensors="pt")
                found = model(**tokens).text_embeds[0].double().numpy()
            known[text] = found / np.linalg.norm(found)
        assert vector @ known[text] / np.linalg.norm(vector) >= 0.99999, text
    assert len(known) > 10
