"""Sizes beyond which a file is taken for a trap, however it says it is a recording.

Each lies far above anything a camera, a sensor or a person has made, so that an honest file meets
none of them; each is met before the memory it would cost is asked for. ``docs/security.md`` lists
them. One that stands in the way of honest data is raised here.
"""

from typing import Final

__all__ = [
    "LARGEST_ARRAY_RATIO",
    "LARGEST_CAPTIONS_BYTES",
    "LARGEST_CELL_CHARACTERS",
    "LARGEST_ENCODER_SIZE",
    "LARGEST_MERGES_BYTES",
    "LARGEST_METADATA_BYTES",
    "LARGEST_NARRATIONS_BYTES",
    "LARGEST_PICTURE_PIXELS",
    "LARGEST_SETTINGS_BYTES",
    "LARGEST_TABLE_RATIO",
    "LARGEST_TABLE_START_BYTES",
    "LARGEST_ZIP_BYTES",
    "LARGEST_ZIP_MEMBER_BYTES",
    "LONGEST_VIDEO_S",
    "MOST_ENCODER_LAYERS",
    "MOST_MP4_BOXES",
    "MOST_PICTURE_RATE",
    "MOST_TABLE_ROWS",
    "MOST_VIDEO_SAMPLES",
    "MOST_ZIP_MEMBERS",
]

LARGEST_PICTURE_PIXELS: Final = 36_000_000
"""Of one frame. 8K has 35.4 million; a frame decodes to 1.5 bytes a pixel, 3 as RGB."""

MOST_PICTURE_RATE: Final = 1000
"""Frames a second."""

MOST_VIDEO_SAMPLES: Final = 1 << 24
"""Samples a track may list, six days of 30 frames/s; libav holds 24 bytes of each."""

LONGEST_VIDEO_S: Final = 31 * 24 * 3600
"""By the header. The IMU and frame grids of a take are as long as its video says it is."""

MOST_MP4_BOXES: Final = 1 << 23
"""Walked over before the file is opened: five of a fragment, and a fragment a frame for hours."""

MOST_ZIP_MEMBERS: Final = 1000
"""RealWorld HAR's archives have eight."""

LARGEST_ZIP_BYTES: Final = 2 << 30
"""An archive on disk; RealWorld HAR's have up to 60 MB. One inside another is a member too."""

LARGEST_ZIP_MEMBER_BYTES: Final = 32 << 20
"""Unpacked; the longest of RealWorld HAR's, ten minutes, have 4 MB, and one is read as a whole."""

LARGEST_CAPTIONS_BYTES: Final = 16 << 20
"""Of the sentences beside one clip: three hundred thousand of them."""

LARGEST_METADATA_BYTES: Final = 1 << 30
"""Of a dataset's JSON file that is read as a whole; the published ones have some 100 MB."""

LARGEST_NARRATIONS_BYTES: Final = 8 << 30
"""Of Ego4D's file of narrations, whose members are read one by one."""

MOST_TABLE_ROWS: Final = 50_000_000
"""Of takes or narrations."""

LARGEST_CELL_CHARACTERS: Final = 100_000
"""Of one cell of those tables: a sentence has hundreds."""

LARGEST_TABLE_START_BYTES: Final = 64 << 20
"""What any of those tables may unpack to, however small its file is."""

LARGEST_TABLE_RATIO: Final = 100
"""Beyond that, characters in a table's cells for each byte of its file."""

LARGEST_MERGES_BYTES: Final = 64 << 20
"""Of a tokenizer's gzipped merges, unpacked; OpenAI's have 3 MB."""

LARGEST_SETTINGS_BYTES: Final = 64 << 20
"""Of a JSON file in an encoder's folder; tokenizers have up to 20 MB."""

LARGEST_ARRAY_RATIO: Final = 100
"""Bytes of an array for each byte of its files, beyond 256 MiB. Ours are not compressed at all."""

LARGEST_ENCODER_SIZE: Final = 1 << 20
"""Any width, length or vocabulary in an encoder's config."""

MOST_ENCODER_LAYERS: Final = 1000
"""Blocks of either tower; the largest CLIPs have 48."""
