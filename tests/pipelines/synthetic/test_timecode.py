import numpy as np
import pytest

from pipelines.synthetic.timecode import MAX_INDEX, decode_timecode, draw_timecode, timecode_box


@pytest.mark.parametrize("size_px", [448, 1408])
@pytest.mark.parametrize("index", [0, 1, 2, 1199, 54_321, MAX_INDEX])
def test_index_comes_back_from_rgb_and_luma(size_px: int, index: int) -> None:
    frame = np.random.default_rng(0).integers(0, 256, (size_px, size_px, 3)).astype(np.uint8)
    draw_timecode(frame, index)
    assert decode_timecode(frame) == index
    assert decode_timecode(frame[..., 1]) == index


def test_only_the_corner_is_drawn_on() -> None:
    frame = np.full((448, 448), 99, dtype=np.uint8)
    draw_timecode(frame, 77)
    height, width = timecode_box(448)
    assert (height, width) == (16, 120)
    assert not (frame[:height, :width] == 99).any()
    assert (frame[height:] == 99).all()
    assert (frame[:, width:] == 99).all()


def test_any_single_wrong_block_is_noticed() -> None:
    clean = np.zeros((448, 448), dtype=np.uint8)
    draw_timecode(clean, 4711)
    for number in range(30):
        row, column = divmod(number, 15)
        frame = clean.copy()
        block = frame[8 * row : 8 * row + 8, 8 * column : 8 * column + 8]
        block[...] = 251 - block
        with pytest.raises(ValueError, match="must have fitting guards and checksum"):
            decode_timecode(frame)


@pytest.mark.parametrize("value", [0, 255])
def test_flat_picture_has_no_time_code(value: int) -> None:
    with pytest.raises(ValueError, match="must have fitting guards and checksum"):
        decode_timecode(np.full((448, 448, 3), value, dtype=np.uint8))


@pytest.mark.parametrize("index", [-1, MAX_INDEX + 1])
def test_index_out_of_range_is_refused(index: int) -> None:
    with pytest.raises(ValueError, match=rf"must lie in \[0, {MAX_INDEX}\], got {index}"):
        draw_timecode(np.zeros((448, 448), dtype=np.uint8), index)
