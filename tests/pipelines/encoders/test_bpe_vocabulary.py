import gzip
import json
from pathlib import Path

import pytest
import torch

from pipelines.config import EncoderConfig
from pipelines.encoders.bpe_vocabulary import read_bpe_tokenizer
from pipelines.encoders.clip4clip import open_clip4clip
from pipelines.encoders.clip_folder import BPE_FILE
from pipelines.encoders.tiny_tokenizer import make_tokenizer
from schemas.errors import UsageError
from tests.pipelines.encoders.openai_clip import make_model

SENTENCES = ["picks up the knife", "xylograph, quickly!", "A  Zebra's 12 cups", "é", ""]


@pytest.fixture(scope="module")
def merges(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("tokenizer")
    make_tokenizer().save_pretrained(folder)
    stored = json.loads((folder / "tokenizer.json").read_text())["model"]["merges"]
    return [" ".join(pair) for pair in stored]


def write(path: Path, lines: list[str]) -> Path:
    path.write_bytes(gzip.compress("\n".join(['"bpe_simple_vocab_16e6.txt', *lines]).encode()))
    return path


def test_the_file_of_merges_is_the_tokenizer(merges: list[str], tmp_path: Path) -> None:
    expected = make_tokenizer()
    # As the published file, it goes on with merges that the model has no room for.
    path = write(tmp_path / BPE_FILE, [*merges, "zz zz</w>", "qq qq</w>"])
    found = read_bpe_tokenizer(path, vocabulary=len(expected))
    assert found.get_vocab() == expected.get_vocab()
    for sentence in SENTENCES:
        assert found(sentence)["input_ids"] == expected(sentence)["input_ids"]


def test_a_merge_by_hand(tmp_path: Path) -> None:
    path = write(tmp_path / BPE_FILE, ["t h", "th e</w>"])
    tokenizer = read_bpe_tokenizer(path, vocabulary=516)
    # Bytes in the order of their printable letters: "!" is 0, so a letter is its code less 33.
    letter = {c: ord(c) - 33 for c in "abcdefghijklmnopqrstuvwxyz"}
    assert tokenizer("the tha")["input_ids"] == [514, 513, 512, letter["a"] + 256, 515]


def test_a_checkpoint_with_merges_beside_it_loads(merges: list[str], tmp_path: Path) -> None:
    torch.save(make_model().state_dict(), tmp_path / "pytorch_model.bin")
    write(tmp_path / BPE_FILE, merges)
    encoder = open_clip4clip(EncoderConfig(name=str(tmp_path)))
    assert encoder.count_tokens(SENTENCES) == [
        len(make_tokenizer()(s).input_ids) for s in SENTENCES
    ]
    before = encoder.spec.weights_sha256
    write(tmp_path / BPE_FILE, [*merges, "zz zz"])
    assert open_clip4clip(EncoderConfig(name=str(tmp_path))).spec.weights_sha256 != before


def test_damaged_and_short_files_are_refused(merges: list[str], tmp_path: Path) -> None:
    path = write(tmp_path / BPE_FILE, merges)
    size = len(make_tokenizer())
    with pytest.raises(UsageError, match=rf"vocabulary of {size + 9} tokens, got {size} "):
        read_bpe_tokenizer(path, vocabulary=size + 9)
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(UsageError, match="merges must be gzipped text, got "):
        read_bpe_tokenizer(path, vocabulary=size)


def test_a_merge_of_what_no_merge_made_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / BPE_FILE, ["t h", "th 9223\x07"])
    with pytest.raises(UsageError, match=r"merges must join known tokens, got 9223\\x07 \["):
        read_bpe_tokenizer(path, vocabulary=516)
