"""Write a dataset's takes one by one, or in several processes."""

from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import TypeVar

from schemas.errors import UsageError

__all__ = ["make_new_folder", "write_all"]

Job = TypeVar("Job")


def make_new_folder(dest: Path) -> None:
    """Make the dataset's folder.

    Raises:
        UsageError: if it holds something already.
    """
    if dest.exists() and (not dest.is_dir() or any(dest.iterdir())):
        raise UsageError(f"the dataset's folder must be new or empty, got {dest}")
    dest.mkdir(parents=True, exist_ok=True)


def write_all(
    write: Callable[[Path, Job], None],
    jobs: Sequence[Job],
    *,
    dest: Path,
    workers: int,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Call ``write(dest, job)`` for every job; the jobs write different files.

    Args:
        write: a function of a module, so that other processes can find it.
        jobs: one a take.
        dest: folder of the dataset.
        workers: processes; 1 writes in this one.
        progress: called with (jobs done, jobs) after each.
    """
    if workers <= 1 or len(jobs) <= 1:
        for done, job in enumerate(jobs, start=1):
            write(dest, job)
            if progress is not None:
                progress(done, len(jobs))
        return
    with ProcessPoolExecutor(max_workers=workers, mp_context=get_context("spawn")) as pool:
        futures = [pool.submit(write, dest, job) for job in jobs]
        try:
            for done, future in enumerate(as_completed(futures), start=1):
                future.result()
                if progress is not None:
                    progress(done, len(jobs))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
