"""What the commands that evaluate a checkpoint on a store share."""

import argparse
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from primus_train.commands.options import say_store

__all__ = ["evaluating"]


@contextmanager
def evaluating(
    args: argparse.Namespace, *, title: str, units: Sequence[str] = ("window",)
) -> Iterator[dict[str, Any]]:
    """Yield the arguments that all reports of an evaluation have, its progress shown meanwhile.

    Args:
        args: with the options of `add_reading` and ``--out``.
        title: of the progress.
        units: that the report counts.
    """
    from primus_train.progress import Progress
    from primus_train.runs import pick_device

    with ExitStack() as stack:
        fetched = stack.enter_context(Progress("fetch", unit="megabyte"))
        bars = {unit: stack.enter_context(Progress(title, unit=unit)) for unit in units}
        yield {
            "store": args.store,
            "out": args.out,
            "overwrite": args.overwrite,
            "device": pick_device(args.device),
            "on_progress": lambda unit, done, total: bars[unit].show(done, total=total),
            "on_open": say_store,
            "on_fetch": fetched.show_bytes,
        }
