"""A frame's number drawn into its pixels, so that a decoded frame can say which one it is.

Two rows of 15 black or white blocks in the top left corner, 8 px wide where the picture is 448 px:
a white and a black guard, 20 bits of the index (most significant first), and its CRC-8.
"""

from typing import Final

import numpy as np
import numpy.typing as npt

__all__ = ["MAX_INDEX", "decode_timecode", "draw_timecode", "timecode_box"]

_REFERENCE_PX: Final = 448
_BLOCK_PX: Final = 8
_ROWS, _COLUMNS = 2, 15
_INDEX_BITS, _CRC_BITS = 20, 8
MAX_INDEX: Final = 2**_INDEX_BITS - 1
_BLACK, _WHITE = 16, 235


def draw_timecode(frame: npt.NDArray[np.uint8], index: int) -> None:
    """Draw ``index`` into ``frame``, (H, W) luma or (H, W, 3) RGB, H == W, in place.

    Raises:
        ValueError: if ``index`` is outside [0, 2^20).
    """
    if not 0 <= index <= MAX_INDEX:
        raise ValueError(f"index must lie in [0, {MAX_INDEX}], got {index}")
    rows, columns = _edges(frame.shape[0])
    for number, bit in enumerate(_bits(index)):
        row, column = divmod(number, _COLUMNS)
        block = frame[rows[row] : rows[row + 1], columns[column] : columns[column + 1]]
        block[...] = _WHITE if bit else _BLACK


def decode_timecode(frame: npt.NDArray[np.uint8]) -> int:
    """Return the index drawn into ``frame``, RGB (H, W, 3) or luma (H, W), uint8.

    Raises:
        ValueError: if guards or checksum do not fit: the frame carries no readable time code.
    """
    rows, columns = _edges(frame.shape[0])
    bits: list[bool] = []
    for number in range(_ROWS * _COLUMNS):
        row, column = divmod(number, _COLUMNS)
        margin = (rows[1] - rows[0]) // 4
        block = frame[
            rows[row] + margin : rows[row + 1] - margin,
            columns[column] + margin : columns[column + 1] - margin,
        ]
        bits.append(bool(block.mean() > (_BLACK + _WHITE) / 2))
    index = sum(bit << shift for shift, bit in enumerate(reversed(bits[2 : 2 + _INDEX_BITS])))
    if bits != _bits(index):
        raise ValueError(
            f"time code must have fitting guards and checksum, got {''.join('01'[b] for b in bits)}"
        )
    return index


def timecode_box(size_px: int) -> tuple[int, int]:
    """Return (height, width) in px of the corner the time code covers in a square picture."""
    rows, columns = _edges(size_px)
    return rows[-1], columns[-1]


def _edges(size_px: int) -> tuple[list[int], list[int]]:
    scale = size_px * _BLOCK_PX / _REFERENCE_PX
    rows = [round(number * scale) for number in range(_ROWS + 1)]
    columns = [round(number * scale) for number in range(_COLUMNS + 1)]
    return rows, columns


def _bits(index: int) -> list[bool]:
    value = (index << _CRC_BITS) | _crc8(index)
    total = _INDEX_BITS + _CRC_BITS
    return [True, False] + [bool(value >> shift & 1) for shift in range(total - 1, -1, -1)]


def _crc8(index: int) -> int:
    # Polynomial x^8 + x^2 + x + 1, start value 0xFF so that a black strip does not fit.
    crc = 0xFF
    for byte in index.to_bytes(3, "big"):
        crc ^= byte
        for _ in range(8):
            crc = ((crc << 1) ^ 0x07 if crc & 0x80 else crc << 1) & 0xFF
    return crc
