from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from pipelines.video.thumbnail import encode_thumbnail


@pytest.mark.parametrize(
    ("shape", "size"),
    [
        pytest.param((448, 448), (96, 96), id="square"),
        pytest.param((270, 480), (96, 54), id="wide"),
        pytest.param((480, 240), (48, 96), id="tall"),
        pytest.param((40, 60), (60, 40), id="small_stays"),
    ],
)
def test_longer_side_is_96_pixels(shape: tuple[int, int], size: tuple[int, int]) -> None:
    frame = np.zeros((*shape, 3), np.uint8)
    frame[:, : shape[1] // 2] = (250, 20, 20)
    data = encode_thumbnail(frame)
    with Image.open(BytesIO(data)) as picture:
        assert (picture.format, picture.size) == ("JPEG", size)
        pixels = np.asarray(picture).astype(int)
    assert np.abs(pixels[size[1] // 2, 4] - (250, 20, 20)).max() < 12
    assert np.abs(pixels[size[1] // 2, -5]).max() < 12
    assert len(data) < 4000
