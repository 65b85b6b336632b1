"""Bytes of parts and of a version, from the layout of their arrays."""

from typing import Final

import pyarrow as pa

from pipelines.config import PrepConfig
from pipelines.pricing.rates import Line
from pipelines.stores.arrays import array_layout
from schemas.embedding import EmbeddingSpec, frames_part_schema, text_part_schema
from schemas.imu import IMU_CHANNELS, IMU_PART_SCHEMA, IMU_UNITS
from schemas.manifest import ArraySpec
from schemas.store import ROWS_PER_CHUNK

__all__ = ["part_layout", "version_bytes"]

# Names, sentences and pictures have no fixed length: what is common.
_STRING: Final = 40
_DECODER: Final = 8
_JPEG: Final = 3_000
_RAW_HZ: Final = 2_000


def part_layout(config: PrepConfig, *, spec: EmbeddingSpec | None) -> dict[str, Line]:
    """Return the bytes of each kind of part by its items, as its columns lie in the file.

    What has no fixed length is put at what is common; measured sizes are better where there are
    any.
    """
    step_s = config.imu.step_ns / 1e9
    layout = {
        "imu": Line(per_item=_row_bytes(IMU_PART_SCHEMA)),
        # Two sensors, each sample a flag, a stamp and three values.
        "raw_imu": Line(per_item=2 * _RAW_HZ * step_s * (1 / 8 + 8 + 3 * 4)),
    }
    if spec is not None:
        frame = _row_bytes(frames_part_schema(spec.video_dim)) + _DECODER
        thumbnail = _JPEG * config.video.step_ns / 1e9
        layout["frames"] = Line(per_item=frame + thumbnail)
        text = _row_bytes(text_part_schema(spec.text_dim)) + 64 + _STRING
        layout["text"] = Line(per_item=text)
    return layout


def version_bytes(rows: int, *, config: PrepConfig, spec: EmbeddingSpec | None, table: Line) -> int:
    """Return the bytes of a version of ``rows`` segments; its arrays' are exact.

    Args:
        rows: stored segments.
        config: of the run.
        spec: of its encoder.
        table: bytes of the segment table by rows.
    """
    if rows == 0:
        return 0
    arrays = ArraySpec(
        channels=IMU_CHANNELS,
        units=IMU_UNITS,
        samples=config.segments.length_ns // config.imu.step_ns,
        rate_hz=config.imu.rate_hz,
        length_ns=config.segments.length_ns,
    )
    chunks = -(-rows // ROWS_PER_CHUNK)
    total = 0
    for dtype, row in array_layout(arrays, encoder=spec).values():
        values = 1
        for length in row:
            values *= length
        # The last chunk is as long as the others.
        total += chunks * ROWS_PER_CHUNK * values * _ITEM_BYTES[dtype]
    return total + round(table.at(rows))


_ITEM_BYTES: Final = {"float32": 4, "float16": 2, "bool": 1}


def _row_bytes(schema: pa.Schema) -> float:
    """Return the bytes of a row's columns of fixed length."""
    total = 0.0
    for field in schema:
        kind = field.type
        if pa.types.is_fixed_size_list(kind):
            total += kind.list_size * kind.value_type.bit_width / 8
        elif pa.types.is_string(kind) or pa.types.is_binary(kind):
            total += 4  # its offset
        else:
            total += kind.bit_width / 8
    return total
