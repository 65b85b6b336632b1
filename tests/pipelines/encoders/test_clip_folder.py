import json
import shutil
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from huggingface_hub import errors
from safetensors.torch import load_file, save_file

from pipelines.config import EncoderConfig
from pipelines.encoders import clip_folder
from pipelines.encoders.clip4clip import open_clip4clip
from pipelines.encoders.make_encoder import make_encoder
from schemas.errors import UsageError


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "tiny"
    make_encoder(path, preset="tiny", seed=1)
    return path


@pytest.fixture
def copy(folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(folder, tmp_path / "copy"))


def test_digest_covers_weights_settings_and_tokenizer_only(copy: Path) -> None:
    def digest() -> str:
        return open_clip4clip(EncoderConfig(name=str(copy))).spec.weights_sha256

    before = digest()
    names = ["config.json", "model.safetensors", "preprocessor_config.json", "tokenizer.json"]
    lines = [
        f"{name}\0{sha256((copy / name).read_bytes()).hexdigest()}\n"
        for name in [*names, "tokenizer_config.json"]
    ]
    assert before == sha256("".join(lines).encode()).hexdigest()
    (copy / "README.md").write_text("another card")
    assert digest() == before
    weights = load_file(copy / "model.safetensors")
    weights["visual_projection.weight"][0, 0] += 1
    save_file(weights, copy / "model.safetensors", metadata={"format": "pt"})
    changed = digest()
    assert changed != before
    (copy / "tokenizer.json").write_text((copy / "tokenizer.json").read_text() + "\n")
    assert digest() not in (before, changed)


def test_local_folder_never_asks_the_hub(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the hub was asked")

    monkeypatch.setattr(clip_folder, "snapshot_download", refuse)
    monkeypatch.setattr("socket.socket.connect", refuse)
    open_clip4clip(EncoderConfig(name=str(folder)))


def test_hub_name_is_resolved_to_a_commit(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commit = "0123456789abcdef0123456789abcdef01234567"
    snapshot = folder.parent / commit
    asked: dict[str, object] = {}

    def download(name: str, *, revision: str | None, allow_patterns: list[str]) -> str:
        asked.update(name=name, revision=revision)
        shutil.copytree(folder, snapshot)
        return str(snapshot)

    monkeypatch.setattr(clip_folder, "snapshot_download", download)
    spec = open_clip4clip(EncoderConfig(name="owner/model", revision="main")).spec
    assert asked == {"name": "owner/model", "revision": "main"}
    assert (spec.name, spec.revision) == ("owner/model", commit)


def test_plain_clip_loads_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As openai/clip-vit-base-patch32 lies on the hub: a .bin, eos_token_id 2, vocab and merges."""
    make_encoder(tmp_path / "made", preset="tiny", seed=2)
    made, hub = tmp_path / "made", tmp_path / "3d74acf9a28c67741b2f4f2ea7635f0aaf6f0268"
    hub.mkdir()
    torch.save(load_file(made / "model.safetensors"), hub / "pytorch_model.bin")
    settings = json.loads((made / "config.json").read_text())
    settings["text_config"]["eos_token_id"] = 2
    settings["text_config"]["pad_token_id"] = 1
    (hub / "config.json").write_text(json.dumps(settings))
    tokens = json.loads((made / "tokenizer.json").read_text())["model"]
    (hub / "vocab.json").write_text(json.dumps(tokens["vocab"]))
    merges = "\n".join(" ".join(pair) for pair in tokens["merges"])
    (hub / "merges.txt").write_text(f"#version: 0.2\n{merges}\n")
    monkeypatch.setattr(clip_folder, "snapshot_download", lambda *_, **__: str(hub))
    encoder = open_clip4clip(EncoderConfig(name="openai/clip-vit-base-patch32", batch_size=2))
    local = open_clip4clip(EncoderConfig(name=str(made), batch_size=2))
    assert (encoder.spec.name, encoder.spec.revision) == ("openai/clip-vit-base-patch32", hub.name)
    texts = ["picks up the knife", "the ball"]
    np.testing.assert_array_equal(encoder.encode_texts(texts), local.encode_texts(texts))
    frames = np.random.default_rng(0).integers(0, 256, (2, 40, 50, 3), dtype=np.uint8)
    np.testing.assert_array_equal(encoder.encode_frames(frames), local.encode_frames(frames))


def test_real_hub_client_without_a_network_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(UsageError, match=r"openai/clip .*; name a local folder instead") as caught:
        open_clip4clip(EncoderConfig(name="openai/clip"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "error", [OSError("no network\nand a long story"), errors.HTTPError("no network.")]
)
def test_unreachable_hub_is_one_sentence(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> str:
        raise error

    monkeypatch.setattr(clip_folder, "snapshot_download", fail)
    match = (
        r"^encoder\.name a/b could not be downloaded and was not before: no network; "
        r"name a local folder instead, .* primus-prep make-encoder$"
    )
    with pytest.raises(UsageError, match=match):
        open_clip4clip(EncoderConfig(name="a/b"))


@pytest.mark.parametrize("name", ["/no/such/folder", "./missing", "missing", "a/b/c"])
def test_missing_folder_is_refused(name: str) -> None:
    with pytest.raises(
        UsageError, match=r"existing folder, a checkpoint file or a hub name .*, got "
    ):
        open_clip4clip(EncoderConfig(name=name))


def test_revision_of_a_folder_is_refused(folder: Path) -> None:
    with pytest.raises(UsageError, match=r"encoder\.revision belongs to a hub name"):
        open_clip4clip(EncoderConfig(name=str(folder), revision="main"))


@pytest.mark.parametrize(
    ("name", "match"),
    [
        ("config.json", r"must hold config\.json"),
        ("model.safetensors", r"must hold model\.safetensors"),
        ("tokenizer.json", "must hold a tokenizer"),
    ],
)
def test_incomplete_folder_is_refused(copy: Path, name: str, match: str) -> None:
    (copy / name).unlink()
    with pytest.raises(UsageError, match=match):
        open_clip4clip(EncoderConfig(name=str(copy)))


def test_other_preprocessing_is_refused(copy: Path) -> None:
    path = copy / "preprocessor_config.json"
    settings = json.loads(path.read_text())
    path.write_text(json.dumps({**settings, "image_mean": [0.5, 0.5, 0.5]}))
    with pytest.raises(UsageError, match=r"image_mean must be CLIP's .*, got \[0.5, 0.5, 0.5\]"):
        open_clip4clip(EncoderConfig(name=str(copy)))
    path.write_text(json.dumps({**settings, "crop_size": 336}))
    with pytest.raises(UsageError, match="crop_size must be CLIP's 224, got 336"):
        open_clip4clip(EncoderConfig(name=str(copy)))


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        pytest.param(
            "config.json",
            {"vision_config": {"layer_norm_eps": "\ud800"}},
            "must hold a CLIP, got ",
            id="no_number",
        ),
        pytest.param(
            "config.json",
            {"text_config": {"eos_token_id": 7}},
            r"eos_token_id must be the tokenizer's, \d+, got 7 \[",
            id="end_of_another",
        ),
        pytest.param(
            "config.json",
            {"vision_config": {"num_channels": 4}},
            "must hold a CLIP",
            id="pictures_of_four_channels",
        ),
        pytest.param(
            "config.json",
            {"text_config": {"num_attention_heads": 0}},
            "must hold a CLIP",
            id="no_heads",
        ),
        pytest.param(
            "config.json",
            {"text_config": {"intermediate_size": 1 << 20}},
            r"must hold a CLIP, got settings of 5\d{8} numbers and weight files of \d{7} bytes",
            id="more_than_the_files_hold",
        ),
        pytest.param(
            "config.json",
            {"meaning": ["none"]},
            r"meaning must be a sentence, got \[",
            id="meaning",
        ),
        pytest.param(
            "preprocessor_config.json",
            {"image_mean": {"r": 0.5}},
            r"image_mean must be CLIP's \[0.48.*got \{'r': 0.5\}",
            id="mean_is_no_list",
        ),
        pytest.param(
            "preprocessor_config.json", {"crop_size": {}}, "crop_size must .* got None", id="crop"
        ),
        pytest.param(
            "tokenizer_config.json", {"eos_token": ["a"]}, "tokenizer must be CLIP's, got", id="end"
        ),
        pytest.param(
            "tokenizer_config.json",
            {"unk_token": "<unheard of>"},
            r"tokenizer must have the model's \d+ tokens, got one numbered",
            id="token_of_no_row",
        ),
    ],
)
def test_settings_of_no_sense_are_one_sentence(
    copy: Path, name: str, change: dict[str, Any], said: str
) -> None:
    settings = json.loads((copy / name).read_text())
    for key, value in change.items():
        settings[key] = {**settings[key], **value} if key.endswith("_config") else value
    (copy / name).write_text(json.dumps(settings))
    with pytest.raises(UsageError, match=said) as raised:
        open_clip4clip(EncoderConfig(name=str(copy), device="cpu"))
    assert str(raised.value).encode()
    assert "\n" not in str(raised.value)


def test_damaged_config_is_refused(copy: Path) -> None:
    (copy / "config.json").write_text("{")
    with pytest.raises(UsageError, match=r"config\.json must be JSON"):
        open_clip4clip(EncoderConfig(name=str(copy)))
