"""Every error a person or a batch job can meet, each with the exit code it leads to.

One sentence form everywhere: field, rule, value, place, and the way out.
"""

from dataclasses import dataclass

__all__ = [
    "NewerFormatError",
    "PrimusError",
    "Problem",
    "QuarantineLimitError",
    "SchemaError",
    "StorageError",
    "StoreDamagedError",
    "StoreNotFoundError",
    "TakeError",
    "UsageError",
]


class PrimusError(Exception):
    """Base of our errors: a program prints its one sentence and exits with ``exit_code``."""

    exit_code = 1


class UsageError(PrimusError):
    """The command line, the config or a reference given by the user is wrong."""

    exit_code = 2


class QuarantineLimitError(PrimusError):
    """More takes were quarantined than ``max_quarantine`` allows; nothing was published."""

    exit_code = 3


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with a piece of data: where, in words, and as a machine code."""

    loc: str
    message: str
    kind: str


class SchemaError(PrimusError, ValueError):
    """Data broke its schema; carries every problem found, not only the first."""

    def __init__(self, problems: tuple[Problem, ...] | list[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(f"{p.loc}: {p.message}" for p in self.problems))

    def __reduce__(self) -> tuple[type["SchemaError"], tuple[tuple[Problem, ...]]]:
        return (SchemaError, (self.problems,))


class TakeError(PrimusError):
    """A fault of one take's data: the take is quarantined under ``code`` and the run goes on.

    Attributes:
        code: short snake_case reason, counted in the manifest.
        detail: one sentence with field, rule, value and file.
    """

    def __init__(self, code: str, detail: str) -> None:
        self.code = code
        self.detail = detail
        super().__init__(f"{code}: {detail}")

    def __reduce__(self) -> tuple[type["TakeError"], tuple[str, str]]:
        return (TakeError, (self.code, self.detail))


class StoreNotFoundError(UsageError, FileNotFoundError):
    """The store, version, tag or mask named does not exist."""


class NewerFormatError(UsageError):
    """The store was made by a newer format than this code reads."""


class StoreDamagedError(PrimusError):
    """An object of a version is missing or does not match its recorded digest."""


class StorageError(PrimusError):
    """A disk, share or object store has no room, no permission or no answer: no fault of data."""
