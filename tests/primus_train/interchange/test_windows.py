from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from primus_train.interchange import windows
from primus_train.interchange.windows import cut_windows, parse_rate, resample
from schemas.errors import UsageError

Array = npt.NDArray[np.float64]


def cut(x: Any, *, rate_hz: Any = 100, **more: Any) -> npt.NDArray[np.float32]:
    settings = {"channels": 6, "target": Fraction(50), "samples": 250, **more}
    return cut_windows(x, rate_hz=rate_hz, **settings)


def filter_by_hand(x: Array, *, source: float, target: int, count: int) -> Array:
    """The documented rule for one signal, a point at a time."""
    factor = 1000 // target
    cutoff, nyquist, fine_hz = 0.4 * target, 0.5 * target, 1000.0
    transition = 2 * min(nyquist - cutoff, cutoff / 2)
    reach = int(np.ceil((60 - 7.95) / (2.285 * 2 * np.pi * transition / fine_hz) / 2))
    beta = 0.1102 * (60 - 8.7)
    last = max((count - 1) * factor, int((len(x) - 1) * fine_hz / source))
    out = np.empty(count)
    for k in range(count):
        total = weights = 0.0
        for i in range(k * factor - reach, k * factor + reach + 1):
            if 0 <= i <= last:
                t = (i - k * factor) / fine_hz
                window = np.i0(beta * np.sqrt(1 - ((i - k * factor) / (reach + 1)) ** 2))
                weight = np.sinc(2 * cutoff * t) * window
                weights += weight
                total += weight * np.interp(i / fine_hz, np.arange(len(x)) / source, x)
        out[k] = total / weights
    return out


@pytest.mark.parametrize(
    ("source", "target"), [("100", 50), ("33.3", 50), ("1000", 50), ("60", 200)]
)
def test_resampling_follows_the_documented_rule(source: str, target: int) -> None:
    rate = Fraction(source)
    x = np.random.default_rng(0).normal(size=int(rate / 5)) + 9.81
    count = target // 5
    got = resample(x[None], source=rate, target=Fraction(target), count=count)[0]
    wanted = filter_by_hand(x, source=float(rate), target=target, count=count)
    np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-9)


def test_the_pass_band_stays_and_what_would_alias_goes() -> None:
    t, grid = np.arange(1000) / 100, np.arange(500) / 50
    tones = np.stack([np.sin(2 * np.pi * hz * t) for hz in (1, 5, 10, 40)])
    got = resample(tones, source=Fraction(100), target=Fraction(50), count=500)[:, 25:475]
    for row, hz in enumerate((1, 5, 10)):
        wanted = np.sin(2 * np.pi * hz * grid[25:475])
        # Straight lines between samples lose (2 pi f / native)^2 / 12 of a tone on average.
        lost = (2 * np.pi * hz / 100) ** 2 / 12
        assert np.abs(got[row] - (1 - lost) * wanted).max() < 0.005
    # Its images, which straight lines leave at 40 Hz with (sin(x) / x)^2, x = 0.4 pi, are gone.
    assert np.abs(got[3]).max() < 2e-3


def test_a_constant_stays_one_to_its_ends_whatever_the_rates() -> None:
    for source in ("20", "33.3", "99.87", "200", "30000/1001"):
        rate = parse_rate(source)
        x = np.full((1, 6, int(5 * rate)), 9.81)
        got = cut(x, rate_hz=source)
        np.testing.assert_allclose(got, np.float32(9.81), rtol=1e-6)
        assert got.shape == (1, 1, 6, 250)


def test_at_the_encoders_own_rate_nothing_is_filtered() -> None:
    x = np.random.default_rng(0).normal(size=(2, 6, 250)).astype(np.float32)
    for rate in (50, 50.0, "50", Fraction(50)):
        assert np.array_equal(cut(x, rate_hz=rate)[:, 0], x)


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    x = np.random.default_rng(0).normal(size=(5, 777))
    rates: dict[str, Any] = {"source": Fraction(111), "target": Fraction(50), "count": 351}
    whole = resample(x, **rates)
    monkeypatch.setattr(windows, "_POINTS", 40)
    monkeypatch.setattr(windows, "_ROWS", 2)
    np.testing.assert_allclose(resample(x, **rates), whole, rtol=0, atol=1e-12)


def test_a_stride_cuts_slices_of_the_resampled_whole() -> None:
    x = np.random.default_rng(0).normal(size=(2, 6, 1260))
    got = cut(x, stride_s=2.5)
    whole = resample(x.reshape(12, -1), source=Fraction(100), target=Fraction(50), count=630)
    assert got.shape == (2, 4, 6, 250)
    for k in range(4):
        np.testing.assert_array_equal(
            got[:, k].reshape(12, -1), whole[:, 125 * k : 125 * k + 250].astype(np.float32)
        )


@pytest.mark.parametrize(
    ("seconds", "count"), [(5, 1), (9.98, 1), (9.99, 2), (10, 2), (14.98, 2), (15, 3)]
)
def test_as_many_windows_as_fit(seconds: float, count: int) -> None:
    assert cut(np.zeros((1, 6, round(seconds * 100))), stride_s=5).shape[1] == count


@pytest.mark.parametrize(
    ("rate_hz", "samples"), [("33.3", 166), ("33.3", 167), ("20.1", 100), ("100", 499)]
)
def test_a_length_short_or_over_by_less_than_a_sample_will_do(rate_hz: str, samples: int) -> None:
    got = cut(np.ones((1, 6, samples)), rate_hz=rate_hz)
    assert got.shape == (1, 1, 6, 250)
    np.testing.assert_allclose(got, 1, rtol=1e-6)


@pytest.mark.parametrize(
    ("x", "more", "said"),
    [
        pytest.param(
            np.zeros((1, 6, 498)), {}, r"last 5 s, .* 500 samples at 100 Hz, got 498", id="short"
        ),
        pytest.param(
            np.zeros((1, 6, 1000)),
            {},
            r"got 1000 samples \(10\.000 s\): give stride_s to cut",
            id="long",
        ),
        pytest.param(
            np.zeros((1, 6, 498)), {"stride_s": 1}, "at least 5 s, .* got 4.980 s", id="short_cut"
        ),
        pytest.param(
            np.zeros((1, 500, 6)), {}, r"\(6, T\) or \(B, 6, T\), got \(500, 6\)", id="swapped"
        ),
        pytest.param(np.zeros((2, 3, 500)), {}, r"got \(2, 3, 500\)", id="accelerometer_alone"),
        pytest.param(np.zeros(500), {}, r"got \(500,\)", id="one_row"),
        pytest.param(np.zeros((1, 6, 0)), {}, r"got \(6, 0\)", id="nothing"),
        pytest.param(np.full((1, 6, 500), np.nan), {}, "must be finite, got NaN", id="nan"),
        pytest.param(np.full((1, 6, 500), np.inf), {}, "must be finite, got NaN", id="infinity"),
        pytest.param(np.zeros((1, 6, 500), bool), {}, "real numbers, got bool", id="bool"),
        pytest.param(np.zeros((1, 6, 500), complex), {}, "numbers, got complex128", id="complex"),
        pytest.param(np.zeros((1, 6, 500)), {"stride_s": 0.0}, "stride_s .* 0.02 s", id="stride_0"),
        pytest.param(
            np.zeros((1, 6, 500)), {"stride_s": float("nan")}, "stride_s .*nan", id="stride_nan"
        ),
        pytest.param(np.zeros((1, 6, 500)), {"rate_hz": 0}, "number above 0, got 0", id="rate_0"),
        pytest.param(
            np.zeros((1, 6, 500)), {"rate_hz": float("inf")}, "above 0, got inf", id="rate_inf"
        ),
        pytest.param(
            np.zeros((1, 6, 500)), {"rate_hz": "1/0"}, "above 0, got '1/0'", id="rate_1_0"
        ),
    ],
)
def test_what_is_no_window_is_refused(x: Any, more: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        cut(x, **more)


def test_whole_numbers_are_taken_and_the_array_stays_as_it_was() -> None:
    x = np.arange(3000).reshape(1, 6, 500)
    before = x.copy()
    assert cut(x).dtype == np.float32
    assert np.array_equal(x, before)
