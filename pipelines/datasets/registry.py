"""The dataset readers, by name."""

from typing import Protocol

from pipelines.config import DatasetConfig, DatasetName, ImuConfig, TextConfig, VideoConfig
from pipelines.datasets.base import DatasetReader

__all__ = ["open_reader"]


class _ReaderClass(Protocol):
    def __call__(
        self, config: DatasetConfig, *, imu: ImuConfig, video: VideoConfig, text: TextConfig
    ) -> DatasetReader: ...


def open_reader(
    config: DatasetConfig, *, imu: ImuConfig, video: VideoConfig, text: TextConfig
) -> DatasetReader:
    """Return the reader of the dataset that ``config`` names; nothing is read yet."""
    return _find_reader(config.name)(config, imu=imu, video=video, text=text)


def _find_reader(name: DatasetName) -> _ReaderClass:
    # Imported only when it is asked for: a reader's libraries are its own business. No table of
    # names, so that the type checker sees that each is a reader.
    match name:
        case "egoexo4d":
            from pipelines.datasets.egoexo4d import EgoExo4DReader

            return EgoExo4DReader
        case "ego4d":
            from pipelines.datasets.ego4d import Ego4DReader

            return Ego4DReader
        case "realworld":
            from pipelines.datasets.realworld import RealWorldReader

            return RealWorldReader
        case "gopro":
            from pipelines.datasets.gopro import GoProReader

            return GoProReader
        case "folder":
            from pipelines.datasets.folder import FolderReader

            return FolderReader
