from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest

from pipelines.config import EncoderConfig
from pipelines.encoders.clip4clip import Clip4ClipEncoder, open_clip4clip
from pipelines.encoders.make_encoder import make_encoder
from pipelines.parts.keys import TEXT_PART_VERSION
from pipelines.parts.store import PartStore
from pipelines.parts.text import write_text_part
from schemas.embedding import text_part_schema
from schemas.errors import TakeError

KEY = "cd" * 32


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Clip4ClipEncoder:
    folder = tmp_path_factory.mktemp("models") / "tiny"
    make_encoder(folder, preset="tiny", seed=0)
    return open_clip4clip(EncoderConfig(name=str(folder), batch_size=2, precision="float32"))


def test_rows_are_the_sentences_with_hash_vector_and_tokens(
    encoder: Clip4ClipEncoder, tmp_path: Path
) -> None:
    parts = PartStore(tmp_path)
    # More than one batch of records: 2 rows a call, 16 a batch.
    texts = sorted({*(f"picks up cup {i}" for i in range(30)), "the ball " * 50, "tür"})
    write_text_part(parts, KEY, texts=texts, encoder=encoder)
    table = parts.read_table("text", KEY)
    assert table.schema.remove_metadata() == text_part_schema(64)
    rows = table.to_pylist()
    assert [r["text"] for r in rows] == texts
    assert [r["text_sha256"] for r in rows] == [sha256(t.encode()).hexdigest() for t in texts]
    expected = np.stack([encoder.encode_texts([t])[0] for t in texts]).astype(np.float16)
    np.testing.assert_array_equal(np.array([r["embedding"] for r in rows], np.float16), expected)
    assert {r["text"]: r["tokens"] for r in rows}["the ball " * 50] == 102


def test_one_and_no_sentence(encoder: Clip4ClipEncoder, tmp_path: Path) -> None:
    parts = PartStore(tmp_path)
    write_text_part(parts, KEY, texts=["holds something"], encoder=encoder)
    assert parts.read_table("text", KEY).num_rows == 1
    write_text_part(parts, "ef" * 32, texts=[], encoder=encoder)
    assert parts.read_table("text", "ef" * 32).num_rows == 0


@pytest.mark.parametrize("texts", [["b", "a"], ["a", "a"]])
def test_unsorted_or_repeated_sentences_are_refused(
    encoder: Clip4ClipEncoder, tmp_path: Path, texts: list[str]
) -> None:
    with pytest.raises(ValueError, match="texts must be unique and sorted"):
        write_text_part(PartStore(tmp_path), KEY, texts=texts, encoder=encoder)


def test_overflow_of_float16_is_a_fault(
    encoder: Clip4ClipEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encoder, "encode_texts", lambda t: np.full((len(t), 64), 1e6, np.float32))
    with pytest.raises(TakeError, match=r"embedding_not_finite: .* 1 are not \[text part\]"):
        write_text_part(PartStore(tmp_path), KEY, texts=["a"], encoder=encoder)


def test_golden_output_of_this_part_version(encoder: Clip4ClipEncoder, tmp_path: Path) -> None:
    """Raise TEXT_PART_VERSION with these numbers when they change on purpose."""
    parts = PartStore(tmp_path)
    write_text_part(parts, KEY, texts=["picks up the knife"], encoder=encoder)
    row = parts.read_table("text", KEY).to_pylist()[0]
    assert TEXT_PART_VERSION == 1
    assert row["tokens"] == 6
    golden = np.array(GOLDEN)
    first = np.array(row["embedding"], np.float64)[:8]
    np.testing.assert_allclose(first, golden, atol=0.01 * np.abs(golden).max())


GOLDEN = [-1.1197, 1.1743, 1.2872, -1.1751, 0.0905, -0.2871, 0.4666, -0.369]
