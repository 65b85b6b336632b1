import json
import random

import pytest

from tests.fuzz.spoil import spoil

SOUND = json.dumps({"a": [1, 2.5, {"b": "text"}], "c": None}).encode() * 3


@pytest.mark.parametrize("text", [False, True])
def test_same_choices_spoil_alike_and_others_do_not(text: bool) -> None:
    def some(seed: int) -> bytes:
        return spoil(SOUND, choose=random.Random(seed).randrange, text=text)

    spoilt = [some(seed) for seed in range(200)]
    assert spoilt == [some(seed) for seed in range(200)]
    assert len(set(spoilt)) > 100
    assert sum(data != SOUND for data in spoilt) > 150


@pytest.mark.parametrize("data", [b"", b"x", b"[]"])
def test_hardly_anything_can_be_spoilt_too(data: bytes) -> None:
    for seed in range(300):
        chance = random.Random(seed)
        assert len(spoil(data, choose=chance.randrange, donors=[b"donor"])) < 1 << 16


def test_json_stays_json_where_only_values_change() -> None:
    sound = json.dumps({"a": [1, {"b": "text"}]}).encode()
    kept = 0
    for seed in range(200):
        try:
            json.loads(spoil(sound, choose=random.Random(seed).randrange, text=True))
        except (ValueError, RecursionError):
            continue
        kept += 1
    assert kept > 30
