"""CLIP4Clip: a CLIP whose frame embeddings, averaged, meet its sentence embeddings.

Every call has one shape: B rows, the last call zero-padded, sentences padded to the smallest of
16, 32 and all tokens that holds them. So the bits depend on the content alone, not on what else
was in the batch. Frames are not normalised before the average over a segment.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from threading import Lock
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from transformers import CLIPTokenizer

from pipelines.config import EncoderConfig
from pipelines.encoders.class_token import read_class_token_alone
from pipelines.encoders.clip4clip_layout import vision_config
from pipelines.encoders.clip_folder import (
    EncoderFiles,
    check_preprocessing,
    digest_files,
    find_files,
)
from pipelines.encoders.clip_towers import find_clip4clip, load_towers
from pipelines.encoders.device import choose_device, choose_precision, torch_dtype
from pipelines.encoders.seq_transf import SeqTransf, read_seq_transf
from pipelines.encoders.state_file import read_state
from pipelines.video.preprocess import crop_frames, normalise_pixels
from schemas.embedding import EmbeddingSpec
from schemas.errors import UsageError

__all__ = ["Clip4ClipEncoder", "open_clip4clip", "read_pooler"]

_SHORT_TOKENS: Final = (16, 32)
# cuDNN's settings belong to the whole process, and a GPU works on one call at a time anyway.
_GPU_LOCK: Final = Lock()


class Clip4ClipEncoder:
    """A frozen CLIP; safe to share between threads.

    Under bfloat16 weights and activations both are. A frame's error against float32 was at most
    0.021 of what one grid step of 100 ms changes there, autocast's 0.018, for as much time
    (ViT-B/32 of random weights, textured moving video, a CPU that computes in it). But errors of
    neighbouring frames go the same way: a window's mean was off by up to a third of what one step
    changes in the mean, so a CPU takes bfloat16 only where it is asked to. Channels-last and
    either kind of attention took as long as without: nearly all the time goes into plain matrix
    products, at the speed the cores have, which leaves ``torch.compile`` nothing to win either.

    Attributes:
        spec: identity; equal specs give equal embeddings.
    """

    def __init__(
        self,
        *,
        spec: EmbeddingSpec,
        vision: torch.nn.Module,
        text: torch.nn.Module,
        tokenizer: CLIPTokenizer,
    ) -> None:
        self.spec = spec
        self._device = torch.device(spec.device_kind)
        self._dtype = torch_dtype(spec.precision)
        read_class_token_alone(vision)
        self._vision = _settled(vision, device=self._device, dtype=self._dtype)
        self._text = _settled(text, device=self._device, dtype=self._dtype)
        self._tokenizer = tokenizer
        self._end_token = int(tokenizer.eos_token_id)
        self._pad_token = int(tokenizer.pad_token_id)
        self._widths = sorted({*(w for w in _SHORT_TOKENS if w < spec.max_tokens), spec.max_tokens})

    def encode_frames(self, frames: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Return raw frame embeddings (N, Dv) of RGB frames (N, H, W, 3) uint8."""
        rows = self.spec.batch_size
        out = np.empty((len(frames), self.spec.video_dim), dtype=np.float32)
        for first in range(0, len(frames), rows):
            batch = frames[first : first + rows]
            # Bytes go to the device, a quarter of what floats would take.
            pixels = crop_frames(batch, image_size=self.spec.image_size).contiguous()
            out[first : first + len(batch)] = self._call(self._see, pixels)[: len(batch)]
        return out

    def _see(self, pixels: torch.Tensor) -> torch.Tensor:  # (B, 3, H, W) uint8
        normalised = normalise_pixels(pixels).to(self._dtype)
        embeddings: torch.Tensor = self._vision(pixel_values=normalised).image_embeds
        return embeddings

    def encode_texts(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Return raw sentence embeddings (N, Dt); what exceeds ``max_tokens`` is cut off."""
        out = np.empty((len(texts), self.spec.text_dim), dtype=np.float32)
        tokens = [self._truncate(ids) for ids in self._tokenize(texts)]
        width_of = [min(w for w in self._widths if w >= len(ids)) for ids in tokens]
        for width in self._widths:
            places = [i for i, w in enumerate(width_of) if w == width]
            for first in range(0, len(places), self.spec.batch_size):
                batch = places[first : first + self.spec.batch_size]
                ids, mask = self._pad([tokens[i] for i in batch], width)
                out[batch] = self._call(
                    lambda i, m: self._text(input_ids=i, attention_mask=m).text_embeds, ids, mask
                )[: len(batch)]
        return out

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Return each sentence's number of tokens before truncation, specials included."""
        return [len(ids) for ids in self._tokenize(texts)]

    def _call(
        self, model: Callable[..., torch.Tensor], *inputs: torch.Tensor
    ) -> npt.NDArray[np.float32]:
        padded = [_pad_rows(x, self.spec.batch_size) for x in inputs]
        with torch.inference_mode(), self._turn():
            result: npt.NDArray[np.float32] = model(*map(self._send, padded)).float().cpu().numpy()
        return result

    def _send(self, x: torch.Tensor) -> torch.Tensor:
        if self._device.type == "cpu":
            return x
        # From pinned memory the copy needs no stop of the host.
        return x.pin_memory().to(self._device, non_blocking=True)

    @contextmanager
    def _turn(self) -> Iterator[None]:
        if self._device.type == "cpu":
            yield
            return
        # cuDNN would run the patch convolution in TF32 otherwise.
        with _GPU_LOCK, torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            yield

    def _tokenize(self, texts: Sequence[str]) -> list[list[int]]:
        if not texts:
            return []
        # Not the tokenizer's own truncation and padding: those are settings of the shared object,
        # and two threads would trip over each other.
        ids: list[list[int]] = self._tokenizer(list(texts), verbose=False)["input_ids"]
        return ids

    def _truncate(self, ids: list[int]) -> list[int]:
        if len(ids) <= self.spec.max_tokens:
            return ids
        return [*ids[: self.spec.max_tokens - 1], self._end_token]

    def _pad(self, tokens: Sequence[list[int]], width: int) -> tuple[torch.Tensor, torch.Tensor]:
        # Rows beyond the sentences hold the shortest sentence there is.
        rows = [*tokens, *([[self._end_token]] * (self.spec.batch_size - len(tokens)))]
        ids = torch.full((len(rows), width), self._pad_token, dtype=torch.int64)
        mask = torch.zeros((len(rows), width), dtype=torch.int64)
        for i, row in enumerate(rows):
            ids[i, : len(row)] = torch.tensor(row)
            mask[i, : len(row)] = 1
        return ids, mask


def open_clip4clip(config: EncoderConfig) -> Clip4ClipEncoder:
    """Load a CLIP from local files, which never asks the network, or from the hub.

    Raises:
        UsageError: if the files are missing or are no whole CLIP, or if the machine or the
            checkpoint lacks what the config asks for.
    """
    device_kind = choose_device(config.device)
    files = find_files(config)
    towers = load_towers(files)
    vision, text = towers.vision.config, towers.text.config
    check_preprocessing(files.folder, image_size=vision.image_size)
    pooler = read_pooler(files, pooling=config.pooling, dim=vision.projection_dim)
    spec = EmbeddingSpec(
        name=files.name,
        revision=files.revision,
        weights_sha256=digest_files(files),
        meaning=towers.meaning,
        video_dim=vision.projection_dim,
        text_dim=text.projection_dim,
        image_size=vision.image_size,
        max_tokens=text.max_position_embeddings,
        batch_size=config.batch_size,
        device_kind=device_kind,
        precision=choose_precision(config.precision, device_kind=device_kind),
        pooling=config.pooling,
        pooling_sha256=pooler.sha256 if pooler is not None else None,
    )
    return Clip4ClipEncoder(
        spec=spec, vision=towers.vision, text=towers.text, tokenizer=towers.tokenizer
    )


def read_pooler(files: EncoderFiles, *, pooling: str, dim: int | None = None) -> SeqTransf | None:
    """Return the pooler of ``seqTransf``; None for ``mean``, which has no weights.

    Args:
        files: of the encoder.
        pooling: ``mean`` or ``seqTransf``.
        dim: Dv, by default that of the checkpoint's frame embeddings.

    Raises:
        UsageError: if the encoder has no such weights.
    """
    if pooling == "mean":
        return None
    checkpoint = find_clip4clip(files)
    if checkpoint is None:
        raise UsageError(
            "encoder.pooling seqTransf needs a checkpoint in CLIP4Clip's layout, got a folder of "
            f"transformers' [{files.folder}]"
        )
    state = read_state(checkpoint)
    if dim is None:
        dim = vision_config(state, path=checkpoint).projection_dim
    return read_seq_transf(state, dim=dim, path=checkpoint)


def _settled(
    tower: torch.nn.Module, *, device: torch.device, dtype: torch.dtype
) -> torch.nn.Module:
    tower = tower.eval().requires_grad_(False).to(device, dtype)
    for parameter in tower.parameters():
        # Weights mapped from a file begin wherever its header ends; products of a single row come
        # out otherwise there than in memory of torch's own, which lies as vector units like it.
        parameter.data = parameter.data.clone()
    return tower


def _pad_rows(x: torch.Tensor, rows: int) -> torch.Tensor:
    if len(x) == rows:
        return x
    return torch.cat([x, x.new_zeros((rows - len(x), *x.shape[1:]))])
