from pathlib import Path

import pytest

from primus_train.memory import available_bytes

GIB = 1 << 30


def machine(proc: Path, *, available_kib: int, cgroup: str) -> None:
    (proc / "self").mkdir(parents=True)
    (proc / "meminfo").write_text(f"MemTotal: 999999999 kB\nMemAvailable:   {available_kib} kB\n")
    (proc / "self" / "cgroup").write_text(cgroup)


def group(folder: Path, *, limit: str, usage: int, stat: str, one: bool = False) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    names = ("memory.limit_in_bytes", "memory.usage_in_bytes")
    names = names if one else ("memory.max", "memory.current")
    (folder / names[0]).write_text(limit + "\n")
    (folder / names[1]).write_text(f"{usage}\n")
    (folder / "memory.stat").write_text(stat)


def test_the_machine_decides_where_no_group_limits(tmp_path: Path) -> None:
    machine(tmp_path / "proc", available_kib=3 * GIB // 1024, cgroup="0::/job\n")
    group(tmp_path / "sys" / "job", limit="max", usage=GIB, stat="")
    assert available_bytes(proc=tmp_path / "proc", system=tmp_path / "sys") == 3 * GIB


@pytest.mark.parametrize("outer", [False, True])
def test_the_tightest_group_above_decides_and_file_pages_count_as_free(
    tmp_path: Path, outer: bool
) -> None:
    machine(tmp_path / "proc", available_kib=64 * GIB // 1024, cgroup="0::/a/b\n")
    stat = f"anon 7\nactive_file {GIB // 4}\ninactive_file {GIB // 4}\nshmem {GIB}\n"
    place = tmp_path / "sys" / ("a" if outer else "a/b")
    group(place, limit=str(4 * GIB), usage=3 * GIB, stat=stat)
    assert available_bytes(proc=tmp_path / "proc", system=tmp_path / "sys") == GIB + GIB // 2


def test_groups_of_the_first_version_are_read_too(tmp_path: Path) -> None:
    lines = "9:cpu:/x\n4:memory:/job\n0::/\n"
    machine(tmp_path / "proc", available_kib=64 * GIB // 1024, cgroup=lines)
    place = tmp_path / "sys" / "memory" / "job"
    stat = f"inactive_file 5\ntotal_inactive_file {GIB}\n"
    group(place, limit=str(4 * GIB), usage=4 * GIB, stat=stat, one=True)
    assert available_bytes(proc=tmp_path / "proc", system=tmp_path / "sys") == GIB


def test_a_full_group_leaves_nothing(tmp_path: Path) -> None:
    machine(tmp_path / "proc", available_kib=GIB, cgroup="0::/\n")
    group(tmp_path / "sys", limit=str(GIB), usage=GIB + 5, stat="active_file 1\n")
    assert available_bytes(proc=tmp_path / "proc", system=tmp_path / "sys") == 0


def test_a_system_that_says_nothing_is_not_guessed_at(tmp_path: Path) -> None:
    assert available_bytes(proc=tmp_path / "none", system=tmp_path / "sys") is None
