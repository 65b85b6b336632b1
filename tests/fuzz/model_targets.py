"""Targets of what models come in: encoders from anywhere, the trainer's checkpoints and masks."""

import gzip
import json
import shutil
import struct
import tempfile
from collections.abc import Callable, Sequence
from functools import cache, partial
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import CLIPConfig, CLIPModel

from pipelines.config import EncoderConfig
from pipelines.encoders.bpe_vocabulary import number_tokens, read_bpe_tokenizer
from pipelines.encoders.clip4clip import open_clip4clip
from pipelines.encoders.quiet import quiet_transformers
from pipelines.encoders.state_file import read_state
from pipelines.encoders.tiny_tokenizer import make_tokenizer
from pipelines.stores.masks import read_mask_record, write_mask
from primus_train.checkpoint import Checkpoint, read_checkpoint, write_checkpoint
from primus_train.data.store import open_store
from primus_train.data.version import read_mask_record as read_mask_record_to_train
from primus_train.encoders.stacked_rnn import WIDTH, StackedRnn
from primus_train.interchange.published import find_layout, published_state, read_published
from primus_train.interchange.safetensors_file import dump_safetensors, read_safetensors
from schemas.errors import PrimusError, StoreDamagedError, StoreNotFoundError, UsageError
from schemas.mask import MaskSpec
from schemas.store import mask_path, sha256_hex
from tests.factories import publish_small_version
from tests.fuzz.target import Target

__all__ = ["MODEL_TARGETS"]

_MERGES = [("a", "b"), ("ab", "c</w>"), ("d", "e</w>")]
_VOCABULARY = len(number_tokens(_MERGES))
_STORE_ERRORS = (StoreDamagedError, StoreNotFoundError, UsageError)


@cache
def _clip_files() -> dict[str, bytes]:
    """Return the files of the smallest CLIP there can be."""
    tokenizer = make_tokenizer()
    last = len(tokenizer) - 1
    tower = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1,
             "num_attention_heads": 1, "projection_dim": 4}  # fmt: skip
    special = {"bos_token_id": last - 1, "eos_token_id": last, "pad_token_id": last}
    config = CLIPConfig(
        text_config={**tower, **special, "vocab_size": len(tokenizer)},
        vision_config={**tower, "image_size": 16, "patch_size": 8},
        projection_dim=4,
    )
    with tempfile.TemporaryDirectory() as name, quiet_transformers():
        folder = Path(name)
        CLIPModel(config).save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        settings = {"image_mean": [0.48145466, 0.4578275, 0.40821073], "resample": 3,
                    "crop_size": {"height": 16, "width": 16}, "do_resize": True}  # fmt: skip
        (folder / "preprocessor_config.json").write_text(json.dumps(settings))
        return {path.name: path.read_bytes() for path in folder.iterdir()}


def _parse_encoder(data: bytes, folder: Path, *, file: str) -> None:
    root = folder / "encoder"
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir()
    for name, content in {**_clip_files(), file: data}.items():
        (root / name).write_bytes(content)
    encoder = open_clip4clip(EncoderConfig(name=str(root), batch_size=2, device="cpu"))
    # What was opened works: a night's run must not end at its first sentence or picture.
    texts = encoder.encode_texts(["opens the door", ""])
    assert texts.shape == (2, encoder.spec.text_dim)
    frames = encoder.encode_frames(np.zeros((1, 20, 30, 3), np.uint8))
    assert frames.shape == (1, encoder.spec.video_dim)


@cache
def _torch_files() -> Sequence[bytes]:
    state = {"a.weight": torch.arange(6.0).reshape(2, 3), "b": torch.ones(3, dtype=torch.int64)}
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "pytorch_model.bin"
        files = []
        for new in (True, False):
            torch.save({**state, "epoch": 3}, path, _use_new_zipfile_serialization=new)
            files.append(path.read_bytes())
        return files


def _parse_torch_file(data: bytes, folder: Path) -> None:
    path = folder / "pytorch_model.bin"
    path.write_bytes(data)
    for name, value in read_state(path).items():
        name.encode(errors="surrogatepass")
        assert value.numel() * value.element_size() <= 1 << 20
        value.clone()


def _parse_merges(data: bytes, folder: Path, *, packed: bool) -> None:
    path = folder / "bpe_simple_vocab_16e6.txt.gz"
    path.write_bytes(data if packed else gzip.compress(data, 1))
    tokenizer = read_bpe_tokenizer(path, vocabulary=_VOCABULARY)
    assert max(tokenizer(["abc de, and what is no ASCII: é"])["input_ids"][0]) < _VOCABULARY


def _merges() -> bytes:
    return ("#version\n" + "".join(f"{a} {b}\n" for a, b in _MERGES)).encode()


@cache
def _checkpoints() -> Sequence[bytes]:
    tensors = {"encoder.weight": torch.arange(6.0).reshape(2, 3), "bank": torch.zeros(2)}
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "best.pt"
        write_checkpoint(path, Checkpoint(tensors=tensors, meta={"step": 5, "fit": {"seed": 0}}))
        return [path.read_bytes()]


def _parse_checkpoint(data: bytes, folder: Path) -> None:
    path = folder / "best.pt"
    path.write_bytes(data)
    checkpoint = read_checkpoint(path)
    assert isinstance(checkpoint.meta, dict)
    for name, tensor in checkpoint.tensors.items():
        assert isinstance(name, str)
        assert tensor.numel() * tensor.element_size() <= 1 << 20
        tensor.clone()
    checkpoint.part("encoder")


@cache
def _published_checkpoints() -> Sequence[bytes]:
    """Return a published encoder of a few kilobytes: of each tensor one number, as wide as it."""
    state = {
        f"imu_encoder.{name}": torch.full((1,), 0.5).expand(tensor.shape)
        for name, tensor in StackedRnn().state_dict().items()
    }
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "published.ckpt"
        torch.save({"epoch": 3, "state_dict": {**state, "temp_mmcl": torch.ones(1)}}, path)
        return [path.read_bytes()]


def _parse_published_checkpoint(data: bytes, folder: Path) -> None:
    path = folder / "published.ckpt"
    path.write_bytes(data)
    state = read_published(path)
    encoder = StackedRnn()
    encoder.load_state_dict(published_state(state, layout=find_layout(state)))
    assert all(bool(tensor.isfinite().all()) for tensor in encoder.state_dict().values())


@cache
def _exported_encoder() -> tuple[bytes, bytes]:
    """Return an exported encoder's header and the numbers behind it."""
    meta = {
        "encoder": {},
        "imu": {"channels": ["x"] * 6, "rate_hz": "50", "samples": 250},
        "representation": "backbone",
    }
    data = dump_safetensors(StackedRnn().state_dict(), meta=meta)
    (length,) = struct.unpack_from("<Q", data)
    return data[8 : 8 + length], data[8 + length :]


def _parse_exported_encoder(data: bytes, folder: Path) -> None:
    # Megabytes of numbers lie behind the header: it is what can be wrong.
    path = folder / "encoder.safetensors"
    path.write_bytes(struct.pack("<Q", len(data)) + data + _exported_encoder()[1])
    encoder, meta = read_safetensors(path)
    embedded = encoder(torch.zeros(1, len(meta["imu"]["channels"]), 1000))
    assert embedded.backbone.shape == (1, WIDTH)


@cache
def _masked_store() -> tuple[Path, str]:
    """Return a store with a mask, which lasts as long as the process, and its version."""
    # Kept by the module: its folder goes when the process does.
    _FOLDERS.append(tempfile.TemporaryDirectory(prefix="primus-fuzz-"))
    store = Path(_FOLDERS[-1].name) / "store"
    version = publish_small_version(store, takes=2, segments=2).version
    write_mask(store, version, spec=MaskSpec(name="half", keep=0.5))
    return store, version


_FOLDERS: list[tempfile.TemporaryDirectory[str]] = []


def _mask_file(suffix: str) -> bytes:
    store, version = _masked_store()
    return (store / mask_path(version, "half", suffix)).read_bytes()


def _parse_mask_record(data: bytes, folder: Path) -> None:
    store, version = _masked_store()
    path = store / mask_path(version, "half", "json")
    sound = path.read_bytes()
    try:
        path.write_bytes(data)
        try:
            record = read_mask_record(store, version, "half")
        except _STORE_ERRORS:
            # The trainer may ask for more, never for less.
            with pytest.raises(_STORE_ERRORS):
                read_mask_record_to_train(store, version, "half")
            raise
        assert read_mask_record_to_train(store, version, "half") == record
    finally:
        path.write_bytes(sound)


def _parse_mask_table(data: bytes, folder: Path) -> None:
    store, version = _masked_store()
    record, table = (store / mask_path(version, "half", end) for end in ("json", "parquet"))
    sound = record.read_bytes(), table.read_bytes()
    try:
        # As somebody would who spoils it on purpose: under a record that says its digest.
        record.write_text(json.dumps({**json.loads(sound[0]), "sha256": sha256_hex(data)}))
        table.write_bytes(data)
        opened = open_store(f"{store}@{version}", mask="half")
        assert bool(opened.valid[:, 0].all())
    finally:
        record.write_bytes(sound[0])
        table.write_bytes(sound[1])


def _encoder(target: str, file: str, *, text: bool) -> Target:
    return Target(
        name=target,
        originals=lambda: [_clip_files()[file]],
        parse=partial(_parse_encoder, file=file),
        allowed=(UsageError,),
        text=text,
    )


def _one(make: Callable[[], bytes]) -> Callable[[], Sequence[bytes]]:
    return lambda: [make()]


MODEL_TARGETS = {
    target.name: target
    for target in (
        _encoder("encoder_config", "config.json", text=True),
        _encoder("encoder_preprocessor", "preprocessor_config.json", text=True),
        _encoder("encoder_tokenizer", "tokenizer.json", text=True),
        _encoder("encoder_tokenizer_config", "tokenizer_config.json", text=True),
        _encoder("encoder_weights", "model.safetensors", text=False),
        Target(
            name="torch_file",
            originals=_torch_files,
            parse=_parse_torch_file,
            allowed=(UsageError,),
        ),
        Target(
            name="merges",
            originals=_one(_merges),
            parse=partial(_parse_merges, packed=False),
            allowed=(UsageError,),
            text=True,
        ),
        Target(
            name="packed_merges",
            originals=_one(lambda: gzip.compress(_merges(), 1)),
            parse=partial(_parse_merges, packed=True),
            allowed=(UsageError,),
        ),
        Target(
            name="checkpoint",
            originals=_checkpoints,
            parse=_parse_checkpoint,
            allowed=(PrimusError,),
        ),
        Target(
            name="published_checkpoint",
            originals=_published_checkpoints,
            parse=_parse_published_checkpoint,
            allowed=(UsageError,),
        ),
        Target(
            name="exported_encoder",
            originals=_one(lambda: _exported_encoder()[0]),
            parse=_parse_exported_encoder,
            allowed=(PrimusError,),
            text=True,
        ),
        Target(
            name="mask_record",
            originals=_one(partial(_mask_file, "json")),
            parse=_parse_mask_record,
            allowed=_STORE_ERRORS,
            text=True,
        ),
        Target(
            name="mask_table",
            originals=_one(partial(_mask_file, "parquet")),
            parse=_parse_mask_table,
            allowed=_STORE_ERRORS,
        ),
    )
}
