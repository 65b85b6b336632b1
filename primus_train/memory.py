"""How much memory this process may still take: of the machine, and of the cgroups it lives in."""

from collections.abc import Iterator
from pathlib import Path

__all__ = ["available_bytes"]


def _numbers(path: Path) -> dict[str, int]:
    """Return ``name: number`` of a kernel table such as /proc/meminfo; empty where there is none.

    The kernel's files come and go with its configuration: one that cannot be read says nothing.
    """
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return {}
    found: dict[str, int] = {}
    for line in lines:
        words = line.replace(":", " ").split()
        if len(words) >= 2 and words[1].isdigit():
            found[words[0]] = int(words[1])
    return found


def _number(path: Path) -> int | None:
    """Return the one number in a file; None where it is absent or says ``max``."""
    try:
        text = path.read_text().strip()
    except OSError:
        return None
    return int(text) if text.isdigit() else None


def _cgroups(proc: Path, system: Path) -> Iterator[tuple[Path, str, str, tuple[str, ...]]]:
    """Yield every memory cgroup above this process: folder, limit, usage, reclaimable fields."""
    try:
        lines = (proc / "self" / "cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            base = system
            names = ("memory.max", "memory.current", ("active_file", "inactive_file"))
        elif "memory" in controllers.split(","):
            base = system / "memory"
            names = (
                "memory.limit_in_bytes",
                "memory.usage_in_bytes",
                ("total_active_file", "total_inactive_file"),
            )
        else:
            continue
        # A limit anywhere above binds; inside a container the path may be seen from outside.
        folder = base / path.strip("/")
        for place in (folder, *folder.parents):
            yield place, *names
            if place == base:
                break


def available_bytes(
    *, proc: Path = Path("/proc"), system: Path = Path("/sys/fs/cgroup")
) -> int | None:
    """Return the bytes that may be allocated before something swaps or is killed.

    The least of the kernel's MemAvailable and of what each memory cgroup above the process leaves,
    where file pages count as free: the kernel drops them first.

    Args:
        proc: where procfs is mounted.
        system: where the cgroups are mounted (version 2, or 1 with its folder ``memory``).

    Returns:
        None on a system that says neither.
    """
    left: list[int] = []
    machine = _numbers(proc / "meminfo").get("MemAvailable")
    if machine is not None:
        left.append(machine * 1024)  # the table is in KiB
    for folder, limit_name, usage_name, fields in _cgroups(proc, system):
        limit, usage = _number(folder / limit_name), _number(folder / usage_name)
        if limit is None or usage is None:
            continue
        stat = _numbers(folder / "memory.stat")
        reclaimable = sum(stat.get(field, 0) for field in fields)
        left.append(max(0, limit - usage + min(usage, reclaimable)))
    return min(left) if left else None
