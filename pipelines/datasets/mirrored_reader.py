"""Any dataset reader, over the mirror of a dataset in an object store."""

from pipelines.align.clock import TakeClock
from pipelines.datasets.base import Catalogue, DatasetReader, ImuRecording
from pipelines.datasets.mirror import Mirror
from schemas.errors import UsageError
from schemas.take import Take

__all__ = ["MirroredReader"]


class MirroredReader:
    """Reads as another reader does, once the mirror holds what is needed."""

    def __init__(self, reader: DatasetReader, *, mirror: Mirror, metadata: tuple[str, ...]) -> None:
        self.name = reader.name
        self._reader = reader
        self._mirror = mirror
        self._metadata = metadata

    def read_catalogue(self) -> Catalogue:
        """Return the dataset's takes and narrations, as the object store lists them now.

        Raises:
            UsageError: if there is nothing or metadata files are missing.
            StorageError: if the object store does not answer or may not be read.
        """
        self._mirror.refresh(self._metadata)
        try:
            return self._reader.read_catalogue()
        except UsageError as error:
            # Nobody asked for the mirror's folder.
            said = str(error).replace(str(self._mirror.root), self._mirror.uri)
            raise type(error)(said) from error
        finally:
            self._mirror.release_loose()

    def read_clock(self, take: Take) -> TakeClock:
        """Return the take's clock.

        Raises:
            TakeError: if the clock cannot be told.
            StorageError: if a file cannot be had whole.
        """
        return self._reader.read_clock(take)

    def read_imu(self, take: Take, clock: TakeClock) -> ImuRecording:
        """Open the take's IMU samples.

        Raises:
            TakeError: as the reader.
            StorageError: if a file cannot be had whole.
        """
        return self._reader.read_imu(take, clock)
