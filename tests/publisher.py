"""A process that publishes small versions, round after round, as one of several would."""

import multiprocessing
import os
from collections.abc import Mapping, Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path

from pipelines.config import PrepConfig
from pipelines.parts.store import PartStore
from pipelines.storage.places import open_place
from schemas.errors import UsageError
from schemas.mask import MaskSpec
from tests.factories import (
    FakeTake,
    make_config,
    make_narration,
    make_take,
    publish_fakes,
    write_fake_take,
)

__all__ = ["WINDOWS", "publish_window", "start_publisher", "write_parts"]

WINDOWS = 4
"""Versions that :func:`publish_window` tells apart."""


def write_parts(parts: Path) -> list[FakeTake]:
    """Write the parts of three takes; they come out the same whoever writes them."""
    config = _config("unused", parts=parts, which=0)
    narrations = [make_narration(0.4 * k, f"sentence {k % 3}") for k in range(12)]
    return [
        write_fake_take(
            PartStore(config.parts_root),
            config=config,
            take=make_take(f"take-{i}"),
            narrations=narrations,
            seed=i,
        )
        for i in range(3)
    ]


def publish_window(
    uri: str, *, parts: Path, fakes: list[FakeTake], which: int, seed: int | None
) -> str:
    """Publish one version under ``latest``, and a mask named ``half`` if given a seed for it."""
    config = _config(uri, parts=parts, which=which)
    masks = [] if seed is None else [MaskSpec(name="half", keep=0.5, seed=seed)]
    return publish_fakes(open_place(uri), config=config, fakes=fakes, masks=masks).version


def start_publisher(
    uri: str,
    *,
    parts: Path,
    commands: Sequence[tuple[int, int | None]],
    environment: Mapping[str, str],
    log: Path,
) -> BaseProcess:
    """Start a process that publishes versions in turn, and return it.

    It is forked off one that has imported everything and done nothing yet: starting takes no time.

    Args:
        uri: of the store.
        parts: folder for parts of its own.
        commands: which window, and the seed of a mask, for each.
        environment: of the process, beside that of the first one.
        log: one line for each version begun, published, or whose mask's name was refused.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    process = context.Process(
        target=_publish_all, args=(uri, str(parts), list(commands), dict(environment), str(log))
    )
    process.start()
    return process


def _publish_all(
    uri: str,
    parts: str,
    commands: list[tuple[int, int | None]],
    environment: dict[str, str],
    log: str,
) -> None:
    os.environ.update(environment)
    # Its own parts: what is published is the same, and two writers of one part are another test.
    own = Path(parts) / str(os.getpid())
    fakes = write_parts(own)
    with Path(log).open("w", buffering=1) as lines:
        for which, seed in commands:
            lines.write(f"begin {which}\n")
            try:
                version = publish_window(uri, parts=own, fakes=fakes, which=which, seed=seed)
            except UsageError as error:
                if "must keep its recipe" not in str(error):
                    raise
                lines.write(f"refused {which}\n")
            else:
                lines.write(f"published {which} {version}\n")


def _config(uri: str, *, parts: Path, which: int) -> PrepConfig:
    """Return the config of one of ``WINDOWS`` versions of the same parts."""
    config = make_config(Path("unused"), segments={"length_ms": 500 + 100 * which})
    store = config.store.model_copy(update={"uri": uri, "parts": str(parts)})
    return config.model_copy(update={"store": store})
