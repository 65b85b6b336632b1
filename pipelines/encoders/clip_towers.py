"""The two towers and the tokenizer of a CLIP, from transformers' folders or CLIP4Clip's layout."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
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
        towers = _load_clip4clip(checkpoint, folder=files.folder)
    else:
        settings = read_settings(files.folder, required=True)
        towers = Towers(
            vision=_load_tower(CLIPVisionModelWithProjection, files),
            text=_load_tower(CLIPTextModelWithProjection, files),
            tokenizer=_load_tokenizer(files.folder, vocabulary=None),
            meaning=_meaning(settings, folder=files.folder),
        )
    _try_out(towers, folder=files.folder)
    return towers


def _try_out(towers: Towers, *, folder: Path) -> None:
    """Refuse what loads and does not work, before a night's run meets it at its first sentence.

    Raises:
        UsageError: if the tokenizer is not the model's, or either tower fails.
    """
    rows = towers.text.get_input_embeddings().num_embeddings
    last = max(towers.tokenizer.get_vocab().values(), default=0)
    if last >= rows:
        raise UsageError(
            f"encoder's tokenizer must have the model's {rows} tokens, got one numbered {last} "
            f"[{folder}]"
        )
    # Where a sentence is read off; 2 is the published configs' word for the highest token.
    end = towers.text.config.eos_token_id
    if end not in (2, towers.tokenizer.eos_token_id):
        raise UsageError(
            f"eos_token_id must be the tokenizer's, {towers.tokenizer.eos_token_id}, got "
            f"{end!a:.50} [{folder / 'config.json'}]"
        )
    side = towers.vision.config.image_size
    try:
        ids = torch.tensor(towers.tokenizer(["a"], verbose=False)["input_ids"])
        with torch.inference_mode():
            towers.text(input_ids=ids, attention_mask=torch.ones_like(ids))
            towers.vision(pixel_values=torch.zeros((1, 3, side, side)))
    # Settings that contradict one another fail wherever a layer first meets them.
    except Exception as error:
        raise UsageError(
            f"encoder folder must hold a CLIP that takes a sentence and a picture, got "
            f"{_first_line(error)} [{folder}]"
        ) from error


def _meaning(settings: Mapping[str, Any], *, folder: Path) -> str | None:
    meaning = settings.get(MEANING_FIELD)
    if meaning is not None and not isinstance(meaning, str):
        raise UsageError(
            f"{MEANING_FIELD} must be a sentence, got {meaning!a:.200} [{folder / 'config.json'}]"
        )
    return meaning


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
        meaning=_meaning(settings, folder=folder),
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
            _check_claim(kind, files)
            model, info = kind.from_pretrained(
                files.folder,
                local_files_only=True,
                use_safetensors=any(path.suffix == ".safetensors" for path in files.weights),
                weights_only=True,
                dtype=torch.float32,
                output_loading_info=True,
            )
    # Settings of no sense fail wherever transformers first uses them.
    except Exception as error:
        raise UsageError(
            f"encoder folder must hold a CLIP, got {_first_line(error)} [{files.folder}]"
        ) from error
    if faults := sorted(map(str, [*info["missing_keys"], *info["mismatched_keys"]])):
        raise UsageError(
            f"encoder weights must be complete, {len(faults)} are not, such as {faults[0]} "
            f"[{files.folder}]"
        )
    return model


def _check_claim(kind: type[Any], files: EncoderFiles) -> None:
    """Refuse settings that describe more numbers than the files can hold, before room is made."""
    config = kind.config_class.from_pretrained(files.folder, local_files_only=True)
    with torch.device("meta"):
        wanted = sum(value.numel() for value in kind(config).parameters())
    held = sum(path.stat().st_size for path in files.weights)
    if wanted > held:
        raise ValueError(f"settings of {wanted} numbers and weight files of {held} bytes")


def _first_line(error: Exception) -> str:
    said = (str(error).strip() or type(error).__name__).splitlines()[0]
    # A word of the file may be no text.
    return said.encode(errors="backslashreplace").decode()


def _load_tokenizer(folder: Path, *, vocabulary: int | None) -> CLIPTokenizer:
    tokenizer = _find_tokenizer(folder, vocabulary=vocabulary)
    try:
        # Settles the shared object's settings before any thread uses it.
        tokenizer(["a"], padding=False, truncation=False)
        _ = int(tokenizer.eos_token_id), int(tokenizer.pad_token_id)
    except Exception as error:
        raise UsageError(
            f"encoder's tokenizer must be CLIP's, got {_first_line(error)} [{folder}]"
        ) from error
    return tokenizer


def _find_tokenizer(folder: Path, *, vocabulary: int | None) -> CLIPTokenizer:
    if any((folder / name).exists() for name in _TOKENIZER_FILES):
        try:
            return CLIPTokenizer.from_pretrained(folder, local_files_only=True)
        # The tokenizers' own library, in Rust, raises plain Exceptions.
        except Exception as error:
            raise UsageError(
                f"encoder's tokenizer must be CLIP's, got {_first_line(error)} [{folder}]"
            ) from error
    if vocabulary is None:
        raise UsageError(f"encoder folder must hold a tokenizer, got {folder}")
    if (folder / BPE_FILE).exists():
        return read_bpe_tokenizer(folder / BPE_FILE, vocabulary=vocabulary)
    raise UsageError(
        "a CLIP4Clip checkpoint needs its tokenizer beside it: CLIP's tokenizer.json, or "
        f"vocab.json with merges.txt, or {BPE_FILE}; got {folder}"
    )
