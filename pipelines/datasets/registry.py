"""The dataset readers, by name."""

from pipelines.config import DatasetConfig, ImuConfig, TextConfig, VideoConfig
from pipelines.datasets.base import DatasetReader

__all__ = ["open_reader"]


def open_reader(
    config: DatasetConfig, *, imu: ImuConfig, video: VideoConfig, text: TextConfig
) -> DatasetReader:
    """Return the reader of the dataset that ``config`` names; nothing is read yet.

    Each reader is imported only when it is asked for: its libraries are its own business.
    """
    if config.name == "ego4d":
        from pipelines.datasets.ego4d import Ego4DReader

        return Ego4DReader(config, imu=imu, video=video, text=text)
    if config.name == "realworld":
        from pipelines.datasets.realworld import RealWorldReader

        return RealWorldReader(config, imu=imu, video=video, text=text)
    if config.name == "gopro":
        from pipelines.datasets.gopro import GoProReader

        return GoProReader(config, imu=imu, video=video, text=text)
    if config.name == "folder":
        from pipelines.datasets.folder import FolderReader

        return FolderReader(config, imu=imu, video=video, text=text)
    from pipelines.datasets.egoexo4d import EgoExo4DReader

    return EgoExo4DReader(config, imu=imu, video=video, text=text)
