"""The dataset readers, by name."""

from typing import Protocol

from pipelines.config import DatasetConfig, DatasetName, ImuConfig, TextConfig, VideoConfig
from pipelines.datasets.base import DatasetReader

__all__ = ["open_reader"]


class _FolderReader(DatasetReader, Protocol):
    @property
    def metadata(self) -> tuple[str, ...]: ...


class _ReaderClass(Protocol):
    def __call__(
        self, config: DatasetConfig, *, imu: ImuConfig, video: VideoConfig, text: TextConfig
    ) -> _FolderReader: ...


def open_reader(
    config: DatasetConfig, *, imu: ImuConfig, video: VideoConfig, text: TextConfig
) -> DatasetReader:
    """Return the reader of the dataset that ``config`` names; nothing is read yet.

    One in an object store is read through a mirror of it: whoever opens the reader needs to know
    no more than that. A take's files are fetched and let go by ``held_files``.
    """
    reader = _find_reader(config.name)(config, imu=imu, video=video, text=text)
    if config.uri is None:
        return reader
    from pipelines.datasets.mirror import open_mirror
    from pipelines.datasets.mirrored_reader import MirroredReader

    mirror = open_mirror(config.uri, root=config.root)
    return MirroredReader(reader, mirror=mirror, metadata=reader.metadata)


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
