from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from pipelines.parts.store import PartStore
from pipelines.stores.look_up_text import find_sentences, look_up_text
from schemas.errors import StoreDamagedError
from tests.factories import SPEC, FakeTake, make_config, make_narration, write_fake_take

ASKED = ["walks", "opens the door", None, "", "never said", "walks"]


def write(folder: Path) -> tuple[FakeTake, PartStore]:
    config = make_config(folder)
    parts = PartStore(config.parts_root)
    narrations = [make_narration(1, "opens the door"), make_narration(2, "walks")]
    return write_fake_take(parts, config=config, narrations=narrations, rows_per_batch=1), parts


def test_sentences_are_found_once_or_often_and_others_are_not(tmp_path: Path) -> None:
    fake, parts = write(tmp_path)
    key = fake.prepared.text_key
    assert key is not None
    asked = pa.array(ASKED)
    found = find_sentences(asked, key=key, parts=parts)
    assert found.known.tolist() == [True, True, False, False, False, True]
    assert found.tokens.tolist() == [3, 5, 0, 0, 0, 3]
    raw = {row["text"]: np.array(row["embedding"], np.float64) for row in fake.text.to_pylist()}
    vectors = look_up_text(asked, key=key, parts=parts, dim=SPEC.text_dim)
    assert vectors.dtype == np.float16
    for sentence, vector, known in zip(ASKED, vectors, found.known, strict=True):
        if known:
            wanted = raw[str(sentence)] / np.linalg.norm(raw[str(sentence)])
            np.testing.assert_array_equal(vector, wanted.astype(np.float16))
        else:
            assert not vector.any()


def test_without_part_or_sentence_nothing_is_known(tmp_path: Path) -> None:
    parts = PartStore(tmp_path)
    assert find_sentences(pa.array(["walks", None]), key=None, parts=parts).known.tolist() == [
        False,
        False,
    ]
    assert find_sentences(pa.array([], pa.string()), key=None, parts=parts).tokens.shape == (0,)
    fake, parts = write(tmp_path)
    assert fake.prepared.text_key is not None
    nothing = pa.array([None], pa.string())
    assert find_sentences(nothing, key=fake.prepared.text_key, parts=parts).known.tolist() == [
        False
    ]
    vectors = look_up_text(nothing, key=fake.prepared.text_key, parts=parts, dim=SPEC.text_dim)
    assert vectors.tolist() == [[0.0] * SPEC.text_dim]


def test_altered_embedding_is_found_where_it_is_used(tmp_path: Path) -> None:
    fake, parts = write(tmp_path)
    assert fake.prepared.text_key is not None
    path = parts.path("text", fake.prepared.text_key)
    data = bytearray(path.read_bytes())
    data[data.find(np.array(fake.text["embedding"][1].as_py(), np.float16).tobytes())] ^= 1
    path.write_bytes(data)
    with pytest.raises(StoreDamagedError, match="part must match its digest"):
        look_up_text(
            pa.array(["walks"]), key=fake.prepared.text_key, parts=parts, dim=SPEC.text_dim
        )
