from pathlib import Path

import numpy as np

from pipelines.parts.store import PartStore
from pipelines.stores.look_up_text import look_up_text
from tests.factories import SPEC, make_config, make_narration, write_fake_take


def test_sentences_are_found_once_or_often_and_others_are_not(tmp_path: Path) -> None:
    config = make_config(tmp_path)
    parts = PartStore(config.parts_root)
    narrations = [make_narration(1, "opens the door"), make_narration(2, "walks")]
    fake = write_fake_take(parts, config=config, narrations=narrations)
    asked = ["walks", "opens the door", None, "", "never said", "walks"]
    found = look_up_text(asked, key=fake.prepared.text_key, parts=parts, dim=SPEC.text_dim)
    assert found.known.tolist() == [True, True, False, False, False, True]
    assert found.tokens.tolist() == [3, 5, 0, 0, 0, 3]
    raw = {row["text"]: np.array(row["embedding"], np.float64) for row in fake.text.to_pylist()}
    for sentence, vector, known in zip(asked, found.text, found.known, strict=True):
        if known:
            wanted = raw[str(sentence)] / np.linalg.norm(raw[str(sentence)])
            np.testing.assert_allclose(vector, wanted, atol=3e-4)
        else:
            assert not vector.any()


def test_without_part_or_encoder_nothing_is_known(tmp_path: Path) -> None:
    found = look_up_text(["walks", None], key=None, parts=PartStore(tmp_path), dim=0)
    assert found.text.shape == (2, 0)
    assert found.known.tolist() == [False, False]
    assert look_up_text([], key=None, parts=PartStore(tmp_path), dim=6).text.shape == (0, 6)
