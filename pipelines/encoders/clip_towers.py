"""The two towers and the tokenizer of a CLIP, from transformers' folders or CLIP4Clip's layout."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from safetensors import SafetensorError
from transformers import CLIPTextModelWithProjection, CLIPTokenizer, CLIPVisionModelWithProjection

from pipelines.encoders.bpe_vocabulary import read_bpe_tokenizer
from pipelines.encoders.clip4clip_layout import (
    is_clip4clip,
    text_config,
    to_transformers,
    vision_config,
)
from pipelines.encoders.clip_folder import BPE_FILE, MEANING_FIELD, EncoderFiles, read_settings
from pipelines.encoders.quiet import quiet_transformers
from pipelines.encoders.state_file import read_state, read_state_names
from schemas.errors import UsageError

__all__ = ["Towers", "find_clip4clip", "load_towers"]

_TOKENIZER_FILES: Final = ("tokenizer.json", "vocab.json")


@dataclass(frozen=True, slots=True, kw_only=True)
class Towers:
    """A CLIP in float32 on the CPU."""

    vision: CLIPVisionModelWithProjection
    text: CLIPTextModelWithProjection
    tokenizer: CLIPTokenizer
    meaning: str | None
    """The folder's warning of weights without meaning."""


def find_clip4clip(files: EncoderFiles) -> Path | None:
    """Return the checkpoint in CLIP4Clip's layout; None for a folder of transformers'."""
    if len(files.weights) != 1:
        return None
    names = read_state_names(files.weights[0])
    return files.weights[0] if is_clip4clip(names) else None


def load_towers(files: EncoderFiles) -> Towers:
    """Load a CLIP from its files.

    Raises:
        UsageError: if they hold no whole CLIP with its tokenizer.
    """
    checkpoint = find_clip4clip(files)
    if checkpoint is not None:
        return _load_clip4clip(checkpoint, folder=files.folder)
    settings = read_settings(files.folder, required=True)
    return Towers(
        vision=_load_tower(CLIPVisionModelWithProjection, files),
        text=_load_tower(CLIPTextModelWithProjection, files),
        tokenizer=_load_tokenizer(files.folder, vocabulary=None),
        meaning=settings.get(MEANING_FIELD),
    )


def _load_clip4clip(checkpoint: Path, *, folder: Path) -> Towers:
    # All that config.json could say otherwise, the shapes say.
    settings = read_settings(folder, required=False)
    state = read_state(checkpoint)
    vision = vision_config(state, path=checkpoint)
    text = text_config(state, path=checkpoint)
    weights = to_transformers(state)
    tokenizer = _load_tokenizer(folder, vocabulary=text.vocab_size)
    # The sentence is read at the vocabulary's last token, so it must be the one that ends it.
    if tokenizer.eos_token_id != text.eos_token_id:
        raise UsageError(
            "the tokenizer must be the checkpoint's own, whose end token is the last of its "
            f"vocabulary, {text.eos_token_id}, got {tokenizer.eos_token_id} [{folder}]"
        )
    return Towers(
        vision=_fill(CLIPVisionModelWithProjection, vision, weights, path=checkpoint),
        text=_fill(CLIPTextModelWithProjection, text, weights, path=checkpoint),
        tokenizer=tokenizer,
        meaning=settings.get(MEANING_FIELD),
    )


def _fill(
    kind: type[Any],
    config: Any,  # noqa: ANN401 - transformers is untyped
    weights: Mapping[str, torch.Tensor],
    *,
    path: Path,
) -> Any:  # noqa: ANN401
    with torch.device("meta"):
        model = kind(config)
    wanted = model.state_dict()
    for name, value in wanted.items():
        if weights[name].shape != value.shape:
            raise UsageError(
                f"encoder weights must fit together, {name} must have shape "
                f"{tuple(value.shape)}, got {tuple(weights[name].shape)} [{path}]"
            )
    model.load_state_dict({name: weights[name] for name in wanted}, assign=True)
    # Counting buffers are in no state dict.
    for name, buffer in list(model.named_buffers()):
        owner, _, last = name.rpartition(".")
        counted = torch.arange(buffer.shape[-1]).expand(buffer.shape)
        model.get_submodule(owner).register_buffer(last, counted, persistent=False)
    return model


def _load_tower(kind: type[Any], files: EncoderFiles) -> Any:  # noqa: ANN401
    try:
        with quiet_transformers():
            model, info = kind.from_pretrained(
                files.folder,
                local_files_only=True,
                use_safetensors=any(path.suffix == ".safetensors" for path in files.weights),
                weights_only=True,
                dtype=torch.float32,
                output_loading_info=True,
            )
    except (OSError, ValueError, RuntimeError, KeyError, SafetensorError) as error:
        raise UsageError(
            f"encoder folder must hold a CLIP, got {str(error).splitlines()[0]} [{files.folder}]"
        ) from error
    if faults := sorted(map(str, [*info["missing_keys"], *info["mismatched_keys"]])):
        raise UsageError(
            f"encoder weights must be complete, {len(faults)} are not, such as {faults[0]} "
            f"[{files.folder}]"
        )
    return model


def _load_tokenizer(folder: Path, *, vocabulary: int | None) -> CLIPTokenizer:
    if any((folder / name).exists() for name in _TOKENIZER_FILES):
        tokenizer = CLIPTokenizer.from_pretrained(folder, local_files_only=True)
    elif vocabulary is not None and (folder / BPE_FILE).exists():
        tokenizer = read_bpe_tokenizer(folder / BPE_FILE, vocabulary=vocabulary)
    elif vocabulary is None:
        raise UsageError(f"encoder folder must hold a tokenizer, got {folder}")
    else:
        raise UsageError(
            "a CLIP4Clip checkpoint needs its tokenizer beside it: CLIP's tokenizer.json, or "
            f"vocab.json with merges.txt, or {BPE_FILE}; got {folder}"
        )
    # Settles the shared object's settings before any thread uses it.
    tokenizer(["a"], padding=False, truncation=False)
    return tokenizer
