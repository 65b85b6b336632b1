"""The price as a person sees it."""

from pathlib import Path

from pipelines.pricing.estimate import Cluster
from pipelines.pricing.price import Price, price_run
from pipelines.pricing.survey import TakeCount
from pipelines.pricing.table import print_price
from tests.factories import SPEC, make_config
from tests.pipelines.pricing.test_estimate import RATES, make_count


def make_price(tmp_path: Path, counts: list[TakeCount], *, catalogue_s: float = 0.0) -> Price:
    return price_run(
        counts,
        config=make_config(tmp_path / "store"),
        spec=SPEC,
        rates=RATES,
        rates_from="measured",
        cluster=Cluster(workers=2, cores=2),
        batches=[[count.take_uid] for count in counts],
        catalogue_s=catalogue_s,
    )


def test_counts_add_up(tmp_path: Path) -> None:
    counts = [
        make_count("a", drops={"narration_outside_take": 1}),
        make_count("b", there={"imu": 300, "frames": 600, "text": 100}, audited=True),
        TakeCount(take_uid="c", reason="vrs_missing", detail="file must exist", planned=5),
        TakeCount(take_uid="d", planned=2, drops={"narration_outside_take": 2}),
    ]
    price = make_price(tmp_path, counts, catalogue_s=1.5)
    takes, segments = price.takes, price.segments
    assert (takes.all, takes.done, takes.to_do, takes.empty) == (4, 1, 1, 1)
    assert takes.quarantined == {"vrs_missing": 1}
    assert takes.hours == 2 * 10 / 3600
    assert segments.planned == 9 + 9 + 5 + 2
    assert segments.planned == segments.rows + 3 + segments.quarantined + 1
    assert segments.dropped == {"narration_outside_take": 3}
    # What is to be written is 25 kB + 100 kB + 36 B; what is there counts among the parts.
    assert price.bytes.parts_to_write == 500 * 50 + 100 * 1000 + 4 * 9
    assert price.bytes.parts == price.bytes.parts_to_write + 1000
    assert price.bytes.source == 10_000
    assert price.bytes.read == 2 * 4000 + 1000 + 3000 + 2000
    assert price.bytes.fits
    assert price.time.start_s == 10 + 2 * 1.5


def test_the_table_names_stages_faults_and_the_bottleneck(tmp_path: Path) -> None:
    faulty = [TakeCount(take_uid=f"x{i}", reason="vrs_missing", detail="gone") for i in range(12)]
    price = make_price(tmp_path, [make_count("a"), *faulty])
    text = print_price(price)
    lines = text.splitlines()
    assert lines[0].startswith("egoexo4d: 13 takes, 0.00 h with segments; 0 done, 1 to do, 0 ")
    assert "  x9: vrs_missing: gone" in lines
    assert "  and 2 more" in lines
    (frames,) = (line.split() for line in lines if line.startswith("frames "))
    assert frames == ["frames", "100", "frames", "100", "3.0", "kB", "100.0", "kB", "8.33",
                      "12.0", "s"]  # fmt: skip
    assert "WARNING" not in text
    assert any(line.startswith(f"bottleneck: {price.time.bottleneck}: ") for line in lines)
    assert "time here with 2 workers on 2 cores: " in text


def test_too_small_a_disk_is_warned_of(tmp_path: Path) -> None:
    price = make_price(tmp_path, [make_count("a")])
    full = price.model_copy(update={"bytes": price.bytes.model_copy(update={"fits": False})})
    assert "WARNING: " in print_price(full)
    huge = make_price(tmp_path, [make_count("a", frames=10**13)])
    assert not huge.bytes.fits
