"""Targets by name; only the modules of the one asked for are imported."""

from tests.fuzz.target import Target

__all__ = ["BINARY", "MODEL", "TEXT", "find_target"]

BINARY = ("vrs", "gpmf", "mp4", "part", "zip", "zip_csv", "parquet", "imu_csv")
TEXT = (
    "ego4d_csv",
    "timesync",
    "egoexo4d_takes",
    "egoexo4d_atomic",
    "egoexo4d_splits",
    "ego4d_videos",
    "ego4d_narrations",
    "folder_takes",
    "folder_narrations",
    "captions",
    "config",
    "calibration",
    "data_layout",
    "manifest",
    "run_record",
    "tag",
)
MODEL = (
    "encoder_config",
    "encoder_preprocessor",
    "encoder_tokenizer",
    "encoder_tokenizer_config",
    "encoder_weights",
    "torch_file",
    "merges",
    "packed_merges",
    "checkpoint",
    "published_checkpoint",
    "exported_encoder",
    "mask_record",
    "mask_table",
)


def find_target(name: str) -> Target:
    """Return a target.

    Raises:
        KeyError: for another name.
    """
    if name in TEXT:
        from tests.fuzz.text_targets import TEXT_TARGETS

        return TEXT_TARGETS[name]
    if name in BINARY:
        from tests.fuzz.binary_targets import BINARY_TARGETS

        return BINARY_TARGETS[name]
    if name in MODEL:
        from tests.fuzz.model_targets import MODEL_TARGETS

        return MODEL_TARGETS[name]
    from tests.fuzz.traps import TRAPS

    return TRAPS[name]
