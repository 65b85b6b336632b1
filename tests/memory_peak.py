"""The most memory this program has held, as the kernel tells it."""

from pathlib import Path

__all__ = ["peak_mib"]


def peak_mib() -> float:
    """Return the peak resident memory in MiB since the program began.

    Not ``ru_maxrss``, which begins with what the process that started this one held.
    """
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024
