from typing import Any

import pytest
from pydantic import ValidationError

from schemas.prompts import PromptSet

ENCODER = {
    "name": "toy",
    "revision": None,
    "weights_sha256": "0" * 64,
    "video_dim": 2,
    "text_dim": 2,
    "image_size": 32,
    "max_tokens": 16,
    "batch_size": 4,
    "device_kind": "cpu",
    "precision": "float32",
}


def document(*prompts: tuple[str, str, list[float]]) -> dict[str, Any]:
    names = ("label", "prompt", "embedding")
    return {"encoder": ENCODER, "prompts": [dict(zip(names, p, strict=True)) for p in prompts]}


def test_labels_are_sorted_and_prompts_keep_their_order() -> None:
    found = PromptSet.model_validate(
        document(("dance", "b", [1, 0]), ("cook", "x", [0, 1]), ("dance", "a", [2, 0]))
    )
    assert found.labels == ("cook", "dance")
    assert [one.prompt for one in found.of("dance")] == ["b", "a"]
    assert list(found.of("swim")) == []
    again = PromptSet.model_validate_json(found.model_dump_json())
    assert again == found


@pytest.mark.parametrize(
    ("prompts", "message"),
    [
        pytest.param([], "at least 1 item", id="none"),
        pytest.param([("a", "b", [1.0])], "the encoder's 2 numbers, got 1", id="length"),
        pytest.param([("a", "b", [0.0, 0.0])], "must have a direction, got zeros", id="zeros"),
        pytest.param([("a", "b", [float("nan"), 1.0])], "finite number", id="nan"),
        pytest.param([("", "b", [1.0, 1.0])], "at least 1 character", id="label"),
        pytest.param([("a", "", [1.0, 1.0])], "at least 1 character", id="prompt"),
        pytest.param(
            [("a", "b", [1.0, 1.0]), ("a", "b", [1.0, 1.0])], "got 'b' twice for 'a'", id="twice"
        ),
    ],
)
def test_what_is_no_set_of_prompts_is_refused(prompts: list[Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        PromptSet.model_validate(document(*prompts))


def test_a_newer_format_is_refused() -> None:
    with pytest.raises(ValidationError, match="format_version"):
        PromptSet.model_validate({**document(("a", "b", [1, 0])), "format_version": 2})
