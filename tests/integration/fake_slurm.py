"""Programs named like SLURM's that start what is submitted as processes of this machine."""

import os
import signal
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

__all__ = ["fake_slurm"]

# A job is a session of its own, so that what it started ends with it; its number is its session.
_SBATCH = """#!/bin/sh
if [ -e "$JOBS/refused" ]; then
  echo "sbatch: error: invalid account or partition" >&2
  exit 1
fi
if [ "$1" = --test-only ]; then
  exit 0
fi
job=$(mktemp "$JOBS/script.XXXXXX")
cat "$1" > "$job"
setsid sh "$job" > "$job.log" 2>&1 < /dev/null &
echo $! >> "$JOBS/submitted"
echo "Submitted batch job $!"
"""
_SCANCEL = """#!/bin/sh
echo "$1" >> "$JOBS/cancelled"
kill -TERM -- "-$1"
"""
_SQUEUE = "#!/bin/sh\n"


@contextmanager
def fake_slurm(folder: Path) -> Iterator[dict[str, str]]:
    """Yield the variables under which ``sbatch``, ``scancel`` and ``squeue`` are found.

    ``folder/jobs`` tells what came: ``submitted`` and ``cancelled`` hold a job number a line, and
    ``script.*`` what was submitted. A file ``refused`` there makes sbatch refuse. What jobs are
    left at the end is killed.
    """
    programs, jobs = folder / "bin", folder / "jobs"
    for made in (programs, jobs):
        made.mkdir(parents=True)
    for name, text in (("sbatch", _SBATCH), ("scancel", _SCANCEL), ("squeue", _SQUEUE)):
        path = programs / name
        path.write_text(text)
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
    try:
        yield {"PATH": f"{programs}{os.pathsep}{os.environ['PATH']}", "JOBS": str(jobs)}
    finally:
        submitted = jobs / "submitted"
        for number in submitted.read_text().split() if submitted.exists() else ():
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(int(number), signal.SIGKILL)
