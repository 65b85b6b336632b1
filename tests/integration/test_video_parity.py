"""Stored video vectors against the plain way: PyAV, PIL and transformers, window by window."""

from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import pytest
import torch
from transformers import CLIPVisionModelWithProjection
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

from pipelines.config import EncoderConfig, VideoConfig
from pipelines.encoders.registry import open_encoder
from pipelines.parts.frames import write_frames_part
from pipelines.parts.store import PartStore
from pipelines.stores.pool_frames import pool_frames
from schemas.time import NS_PER_MS, NS_PER_S, Interval

pytestmark = pytest.mark.slow

GRID_MS = 100
LENGTH_MS = 5000
STARTS_MS = range(0, 6900, 700)


def reference_frames(video: Path, encoder: Path) -> npt.NDArray[np.float64]:
    """Return the embedding of each grid time's nearest frame."""
    model = CLIPVisionModelWithProjection.from_pretrained(encoder).eval()
    processor = CLIPImageProcessorPil()
    with av.open(str(video)) as container:
        frames = [(f.time or 0.0, f) for f in container.decode(video=0)]
    times = np.array([t for t, _ in frames]) - frames[0][0]
    rows = []
    for t_ms in range(0, 12_000, GRID_MS):
        nearest = int(np.argmin(np.abs(times - t_ms / 1000)))
        picture = frames[nearest][1].to_image()
        rows.append(processor(picture, return_tensors="pt")["pixel_values"])
    with torch.no_grad():
        return model(pixel_values=torch.cat(rows)).image_embeds.double().numpy()


def reference_window(rows: npt.NDArray[np.float64], start_ms: int) -> npt.NDArray[np.float64]:
    times = np.arange(len(rows)) * GRID_MS
    mean = rows[(times >= start_ms) & (times < start_ms + LENGTH_MS)].mean(axis=0)
    result: npt.NDArray[np.float64] = mean / np.linalg.norm(mean)
    return result


def test_stored_vectors_are_ten_times_nearer_than_a_frame_of_shift(
    small_dataset: Path, tiny_encoder: Path, tmp_path: Path
) -> None:
    encoder = open_encoder(EncoderConfig(name=str(tiny_encoder)))
    parts = PartStore(tmp_path)
    videos = sorted(small_dataset.glob("takes/*/frame_aligned_videos/downscaled/448/*_214-1.mp4"))
    assert len(videos) == 8
    start_ns = np.array(STARTS_MS, dtype=np.int64) * NS_PER_MS
    ratios = []
    for number, video in enumerate(videos):
        key = f"{number:064x}"
        write_frames_part(
            parts,
            key,
            path=video,
            span=Interval(0, 12 * NS_PER_S),
            config=VideoConfig(),
            encoder=encoder,
        )
        stored = pool_frames(
            parts.read("frames", key),
            start_ns=start_ns,
            end_ns=start_ns + LENGTH_MS * NS_PER_MS,
            dim=encoder.spec.video_dim,
        )
        assert stored.frames.tolist() == [LENGTH_MS // GRID_MS] * len(STARTS_MS)
        rows = reference_frames(video, tiny_encoder)
        for start_ms, vector in zip(STARTS_MS, stored.video.astype(np.float64), strict=True):
            error = np.linalg.norm(vector - reference_window(rows, start_ms))
            shift = np.linalg.norm(vector - reference_window(rows, start_ms + GRID_MS))
            ratios.append(float(error / shift))
    assert np.max(ratios) <= 0.1
