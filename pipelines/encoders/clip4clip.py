"""CLIP4Clip: a CLIP whose frame embeddings, averaged, meet its sentence embeddings.

Every call has one shape: B rows, the last call zero-padded, sentences padded to the smallest of
16, 32 and all tokens that holds them. So the bits depend on the content alone, not on what else
was in the batch. Frames are not normalised before the average over a segment.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError
from transformers import CLIPTextModelWithProjection, CLIPTokenizer, CLIPVisionModelWithProjection

from pipelines.config import EncoderConfig
from pipelines.encoders.clip_folder import (
    MEANING_FIELD,
    WEIGHT_PATTERNS,
    check_preprocessing,
    digest_folder,
    find_folder,
    list_files,
    read_settings,
)
from pipelines.encoders.quiet import quiet_transformers
from pipelines.video.preprocess import preprocess_frames
from schemas.embedding import EmbeddingSpec
from schemas.errors import UsageError

__all__ = ["Clip4ClipEncoder", "open_clip4clip"]

_SHORT_TOKENS: Final = (16, 32)


class Clip4ClipEncoder:
    """A frozen CLIP in float32.

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
        self._vision = vision.eval().requires_grad_(False).to(self._device)
        self._text = text.eval().requires_grad_(False).to(self._device)
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
            pixels = preprocess_frames(batch, image_size=self.spec.image_size)
            out[first : first + len(batch)] = self._call(
                lambda x: self._vision(pixel_values=x).image_embeds, pixels
            )[: len(batch)]
        return out

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
        padded = [_pad_rows(x, self.spec.batch_size).to(self._device) for x in inputs]
        # cuDNN would run the patch convolution in TF32 otherwise.
        with torch.inference_mode(), torch.backends.cudnn.flags(allow_tf32=False):
            result: npt.NDArray[np.float32] = model(*padded).float().cpu().numpy()
        return result

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
    """Load a CLIP from a local folder, which never asks the network, or from the hub.

    Raises:
        UsageError: if the folder or the hub repository is missing, or is no whole CLIP.
    """
    folder, revision, name = find_folder(config)
    settings = read_settings(folder)
    check_preprocessing(folder, settings)
    vision = _load(CLIPVisionModelWithProjection, folder)
    text = _load(CLIPTextModelWithProjection, folder)
    tokenizer = _load_tokenizer(folder)
    spec = EmbeddingSpec(
        name=name,
        revision=revision,
        weights_sha256=digest_folder(folder),
        meaning=settings.get(MEANING_FIELD),
        video_dim=vision.config.projection_dim,
        text_dim=text.config.projection_dim,
        image_size=vision.config.image_size,
        max_tokens=text.config.max_position_embeddings,
        batch_size=config.batch_size,
        device_kind=_device_kind(config.device),
        precision="float32",
    )
    return Clip4ClipEncoder(spec=spec, vision=vision, text=text, tokenizer=tokenizer)


def _load(kind: type[Any], folder: Path) -> Any:  # noqa: ANN401 - transformers is untyped
    weights = list_files(folder, WEIGHT_PATTERNS)
    if not weights:
        raise UsageError(f"encoder folder must hold model.safetensors, got {folder}")
    try:
        with quiet_transformers():
            model, info = kind.from_pretrained(
                folder,
                local_files_only=True,
                use_safetensors=any(path.suffix == ".safetensors" for path in weights),
                weights_only=True,
                dtype=torch.float32,
                output_loading_info=True,
            )
    except (OSError, ValueError, RuntimeError, KeyError, SafetensorError) as error:
        raise UsageError(
            f"encoder folder must hold a CLIP, got {str(error).splitlines()[0]} [{folder}]"
        ) from error
    if faults := sorted(map(str, [*info["missing_keys"], *info["mismatched_keys"]])):
        raise UsageError(
            f"encoder weights must be complete, {len(faults)} are not, such as {faults[0]} "
            f"[{folder}]"
        )
    return model


def _load_tokenizer(folder: Path) -> CLIPTokenizer:
    if not any((folder / name).exists() for name in ("tokenizer.json", "vocab.json")):
        raise UsageError(f"encoder folder must hold a tokenizer, got {folder}")
    tokenizer = CLIPTokenizer.from_pretrained(folder, local_files_only=True)
    # Settles the shared object's settings before any thread uses it.
    tokenizer(["a"], padding=False, truncation=False)
    return tokenizer


def _device_kind(device: str) -> str:
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda" and not torch.cuda.is_available():
        raise UsageError("encoder.device must be a device this machine has, got cuda")
    return device


def _pad_rows(x: torch.Tensor, rows: int) -> torch.Tensor:
    if len(x) == rows:
        return x
    return torch.cat([x, x.new_zeros((rows - len(x), *x.shape[1:]))])
