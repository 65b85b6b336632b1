"""What the dataset readers have in common: their part of the config, and files under one root."""

from collections.abc import Iterable
from pathlib import Path

from pipelines.config import DatasetConfig, ImuConfig, TextConfig, VideoConfig
from pipelines.parts.keys import find_file, take_path
from schemas.errors import TakeError, UsageError

__all__ = ["RootedReader"]


class RootedReader:
    """Base of the readers, each of one dataset in one folder; nothing is read to make one."""

    name: str
    metadata: tuple[str, ...] = ()
    """Patterns of the files that say what the takes are and what was said in them."""

    def __init__(
        self,
        config: DatasetConfig,
        *,
        imu: ImuConfig,
        video: VideoConfig,
        text: TextConfig,
    ) -> None:
        self._config = config
        self._imu = imu
        self._video = video
        self._text = text

    def _check_root(self, holding: str) -> Path:
        """Return the dataset's folder, which is ``holding`` such and such.

        Raises:
            UsageError: if it is not there, or a metadata file in it is a link that leaves it.
        """
        root = self._config.root
        if not root.is_dir():
            raise UsageError(f"dataset.root must be {holding}, got {root}")
        if not self._config.follow_links:
            whole = root.resolve()
            for pattern in self.metadata:
                for path in root.glob(pattern):
                    if not path.resolve().is_relative_to(whole):
                        raise UsageError(
                            f"{path.name} must lie inside dataset.root, got a link that leaves it; "
                            f"dataset.follow_links=true reads it all the same [{path}]"
                        )
        return root

    def _located(self, relative: str) -> Path:
        """Return where the file that data name as ``relative`` lies; it is not read.

        Raises:
            TakeError: ``path_escapes_root`` or ``file_missing``.
        """
        config = self._config
        return find_file(config.root, relative, follow_links=config.follow_links)

    def _file(self, relative: str) -> Path:
        """Return the file that data name as ``relative``, for reading.

        Raises:
            TakeError: ``path_escapes_root`` or ``file_missing``.
        """
        config = self._config
        return take_path(config.root, relative, follow_links=config.follow_links)

    def _wanted_variants(self, *known: str) -> tuple[str, ...]:
        """Return which of the picture's ``known`` copies may be read, the preferred one first.

        Raises:
            UsageError: if the config asks for one that the dataset does not have.
        """
        wanted = self._video.variant
        if wanted == "auto":
            return known
        if wanted not in known:
            *others, last = ("auto", *known)
            raise UsageError(
                f"video.variant must be {', '.join(others)} or {last} for {self.name}, got {wanted}"
            )
        return (wanted,)

    def _participant(self, uid: object) -> str | None:
        """Return ``<dataset>:<uid>``, None where ``uid`` names nobody: null, empty, no name at all.

        Whatever wrote 7 as 7.0 or "7" meant the same person.
        """
        if isinstance(uid, float) and uid.is_integer():
            uid = int(uid)
        if isinstance(uid, bool) or not isinstance(uid, int | str):
            return None
        said = str(uid).strip()
        return f"{self.name}:{said}" if said else None

    def _require_file(self, relative: str, *, code: str) -> None:
        """Refuse a take whose file is not there.

        Raises:
            TakeError: ``code`` if it is missing, ``path_escapes_root`` if it lies elsewhere.
        """
        try:
            self._located(relative)
        except TakeError as error:
            if error.code != "file_missing":
                raise
            raise TakeError(code, error.detail) from error

    def _find_first(self, places: Iterable[str]) -> str | None:
        """Return the first of ``places`` under the root that is a file, None if none is.

        Raises:
            TakeError: ``path_escapes_root``.
        """
        for place in places:
            try:
                self._located(place)
            except TakeError as error:
                if error.code != "file_missing":
                    raise
                continue
            return place
        return None
