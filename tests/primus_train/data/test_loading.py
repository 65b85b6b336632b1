from pathlib import Path

import pytest

from primus_train.data.loading import choose_loading
from primus_train.data.store import open_store
from schemas.errors import UsageError


@pytest.mark.parametrize(
    ("load", "available", "decoded", "mode"),
    [
        pytest.param("auto", 1000, (), "memory", id="fits_exactly"),
        pytest.param("auto", 999, (), "mapped", id="does_not_fit"),
        pytest.param("auto", None, (), "memory", id="unknown"),
        pytest.param("auto", 999, ("imu",), "memory", id="cannot_be_mapped"),
        pytest.param("memory", 1, (), "memory", id="asked_memory"),
        pytest.param("mapped", 10**9, (), "mapped", id="asked_mapped"),
    ],
)
def test_size_decides_unless_asked(
    monkeypatch: pytest.MonkeyPatch,
    load: str,
    available: int | None,
    decoded: tuple[str, ...],
    mode: str,
) -> None:
    monkeypatch.setattr("primus_train.data.loading.available_bytes", lambda: available)
    found = choose_loading(load, array_bytes=700, decoded=decoded, version="v")  # type: ignore[arg-type]
    assert (found.mode, found.array_bytes, found.available_bytes) == (mode, 700, available)


def test_it_is_said_where_the_arrays_are_and_why(
    toy_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("primus_train.data.loading.available_bytes", lambda: 5)
    # 48 windows of 6 x 250 float32, 16 + 8 float16, 3 bools.
    wanted = 48 * (6000 + 48 + 3)
    loading = open_store(str(toy_store)).loading
    assert (loading.mode, loading.array_bytes) == ("mapped", wanted)
    assert loading.say() == (
        "0.00 GB of arrays left on disk, memory-mapped; 0.00 GB of memory available"
    )
    assert open_store(str(toy_store), load="memory").loading.say() == (
        "0.00 GB of arrays loaded to memory, as asked"
    )
    monkeypatch.setattr("primus_train.data.loading.available_bytes", lambda: None)
    assert "does not say how much" in open_store(str(toy_store)).loading.say()


def test_other_words_are_refused(toy_store: Path) -> None:
    with pytest.raises(UsageError, match="load must be auto, memory or mapped, got 'disk'"):
        open_store(str(toy_store), load="disk")  # type: ignore[arg-type]
