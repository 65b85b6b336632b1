"""The dataset readers, by name."""

from pipelines.config import DatasetConfig, ImuConfig, VideoConfig
from pipelines.datasets.base import DatasetReader

__all__ = ["open_reader"]


def open_reader(config: DatasetConfig, *, imu: ImuConfig, video: VideoConfig) -> DatasetReader:
    """Return the reader of the dataset that ``config`` names; nothing is read yet.

    Each reader is imported only when it is asked for: its libraries are its own business.
    """
    if config.name == "gopro":
        from pipelines.datasets.gopro import GoProReader

        return GoProReader(config, imu=imu, video=video)
    from pipelines.datasets.egoexo4d import EgoExo4DReader

    return EgoExo4DReader(config, imu=imu, video=video)
