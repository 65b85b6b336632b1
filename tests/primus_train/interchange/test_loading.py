import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from primus_train import load_encoder
from primus_train.data.store import open_store
from primus_train.interchange import loading
from primus_train.representation import embed_rows, read_pretrained
from schemas.errors import StoreNotFoundError, UsageError
from tests.primus_train.interchange.published_encoders import make_published, windows


def test_three_lines_of_a_notebook(imported: Path) -> None:
    x = windows(500, count=1)[0].numpy()
    enc = load_encoder(str(imported))
    z = enc(x, rate_hz=100)
    assert (z.shape, z.dtype) == ((512,), np.float32)
    assert enc.units == ("m/s2",) * 3 + ("rad/s",) * 3
    assert (enc.channels[0], enc.rate_hz, enc.samples, enc.length_s) == ("accel_x", 50, 250, 5.0)
    assert "StackedRnn" not in repr(enc)


@pytest.mark.parametrize("representation", ["multimodal", "unimodal", "backbone", None])
def test_windows_at_the_encoders_rate_give_the_published_embeddings(
    imported: Path, representation: str | None
) -> None:
    x = windows(250)
    with torch.no_grad():
        wanted = make_published("primus")(x)[representation or "multimodal"].numpy()
    got = load_encoder(imported, representation=representation)(x.numpy(), rate_hz=50)
    np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-6)


def test_a_store_s_windows_give_what_the_trainer_gives(trained: Path, toy_store: Path) -> None:
    store = open_store(str(toy_store))
    rows = np.arange(5)
    pretrained = read_pretrained(trained / "best.pt")
    wanted = embed_rows(pretrained.objective, store, rows).get("backbone").numpy()
    enc = load_encoder(trained)
    assert enc.representation == "backbone"
    np.testing.assert_allclose(
        enc(store.imu[torch.from_numpy(rows)].numpy(), rate_hz=50), wanted, rtol=0, atol=1e-6
    )


def test_slow_motion_gives_about_the_same_at_every_rate(imported: Path) -> None:
    def motion(rate_hz: int) -> Any:
        t = np.arange(5 * rate_hz) / rate_hz
        return np.stack(
            [(9.81 if k == 0 else 0) + np.sin(2 * np.pi * (k + 1) * t) for k in range(6)]
        )

    enc = load_encoder(imported)
    wanted = enc(motion(50), rate_hz=50)
    for rate_hz in (100, 200, 1000):
        z = enc(motion(rate_hz), rate_hz=rate_hz)
        cosine = z @ wanted / np.linalg.norm(z) / np.linalg.norm(wanted)
        assert cosine > 0.999
    # The rate counts: the same numbers at another rate are another motion.
    assert np.abs(enc(motion(100)[:, ::2], rate_hz=50) - wanted).max() < 1e-5
    assert np.abs(enc(np.tile(motion(100), 2), rate_hz=200) - wanted).max() > 1e-3


def test_a_recording_gives_a_row_a_window(imported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    enc = load_encoder(imported)
    x = windows(700, count=3).numpy()
    whole = enc(x, rate_hz=50, stride_s=3)
    assert whole.shape == (3, 4, 512)
    for k in range(4):
        np.testing.assert_allclose(
            whole[:, k], enc(x[:, :, 150 * k : 150 * k + 250], rate_hz=50), rtol=0, atol=1e-6
        )
    assert enc(x[1], rate_hz=50, stride_s=3).shape == (4, 512)
    monkeypatch.setattr(loading, "BLOCK", 5)
    np.testing.assert_allclose(enc(x, rate_hz=50, stride_s=3), whole, rtol=0, atol=1e-6)
    assert enc(x[:0], rate_hz=50, stride_s=3).shape == (0, 4, 512)


def test_an_unknown_representation_and_a_missing_run_are_refused(
    imported: Path, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=r"must be auto or one of multimodal, .* got 'video'"):
        load_encoder(imported, representation="video")
    with pytest.raises(StoreNotFoundError, match="none found"):
        load_encoder(tmp_path)


def test_the_package_itself_loads_no_library() -> None:
    code = (
        "import sys, primus_train; assert primus_train.load_encoder;"
        "sys.exit(bool({'torch', 'numpy', 'scipy', 'zarr'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
