import io
from typing import Any

import pytest
from PIL import Image

from primus_train.figures import probe_figure


def row(shots: int, accuracy: float | None, split: str = "test") -> dict[str, Any]:
    return {
        "split": split,
        "shots": shots,
        "accuracy": accuracy,
        "accuracy_se": None if accuracy is None else 0.02,
        "chance": 0.125,
        "n": 100,
        "trials": 5,
    }


@pytest.mark.slow
def test_the_figure_is_a_png_that_depends_on_its_points() -> None:
    pytest.importorskip("PIL")
    points = [row(1, 0.2), row(5, 0.4), row(500, None), row(1, 0.3, split="val")]
    images = [
        Image.open(io.BytesIO(probe_figure(rows, title="probe"))).convert("RGB")
        for rows in (points, points, [row(1, 0.2), row(5, 0.8)])
    ]
    assert images[0].size == (900, 600)
    assert images[0].tobytes() == images[1].tobytes() != images[2].tobytes()


@pytest.mark.slow
def test_a_table_of_na_still_draws() -> None:
    assert probe_figure([row(500, None)], title="none").startswith(b"\x89PNG")
