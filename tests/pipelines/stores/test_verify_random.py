"""No false alarm: versions of random takes under random settings verify, and repair has no work."""

import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipelines.parts.store import PartStore
from pipelines.stores.masks import write_mask
from pipelines.stores.repair import repair_version
from pipelines.stores.verify import verify_version
from schemas.errors import PrimusError, UsageError
from schemas.mask import MaskSpec
from tests.factories import make_config, make_narration, make_take, publish_fakes, write_fake_take

NARRATION = st.tuples(
    st.floats(0, 6, allow_nan=False).map(lambda s: round(s, 3)),
    st.sampled_from(["opens the door", "sits", "walks home", "", "cuts é", "looks around"]),
)
TAKE = st.fixed_dictionaries(
    {
        "narrations": st.lists(NARRATION, max_size=14),
        "seconds": st.sampled_from([0.7, 2.5, 4.0, 6.0]),
        "split": st.sampled_from(["train", "val", "test", None]),
        "label": st.sampled_from(["cooking", "music", None]),
        "participant": st.booleans(),
        "invalid": st.lists(st.integers(0, 6), max_size=2),
        "missing": st.lists(st.integers(0, 6), max_size=3),
    }
)
CONFIG = st.fixed_dictionaries(
    {
        "policy": st.sampled_from(["narration", "published", "stride"]),
        "length_ms": st.sampled_from([1000, 2000]),
        "step_ms": st.sampled_from([100, 500]),
        "stride_ms": st.sampled_from([500, 1000]),
        "duplicates": st.sampled_from(["keep", "drop"]),
        "require": st.sampled_from([[], ["imu"], ["video"], ["imu", "video", "text"]]),
        "rows": st.sampled_from([3, 8, 4096]),
        "audit": st.booleans(),
        "keep": st.sampled_from([0.0, 0.3, 1.0]),
        "exact": st.booleans(),
    }
)


def publish(store: Path, takes: list[dict[str, Any]], drawn: dict[str, Any]) -> str:
    names = ("policy", "length_ms", "step_ms", "stride_ms", "duplicates", "require")
    segments = {name: drawn[name] for name in names}
    config = make_config(store, segments=segments, audit={"enabled": drawn["audit"]})
    parts = PartStore(config.parts_root)
    fakes = []
    for i, take in enumerate(takes):
        who = f"egoexo4d:p{i}" if take["participant"] else None
        points = int(take["seconds"] * 10)
        said = [make_narration(at, text) for at, text in take["narrations"]]
        fakes.append(
            write_fake_take(
                parts,
                config=config,
                take=make_take(f"take-{i:02d}", participant=who, label=take["label"]),
                narrations=[] if drawn["policy"] == "stride" else said,
                seconds=take["seconds"],
                split=take["split"],
                seed=i,
                invalid=[p for p in take["invalid"] if p < points],
                missing=sorted({p for p in take["missing"] if p < points}),
            )
        )
    version = publish_fakes(store, config=config, fakes=fakes).version
    spec = MaskSpec(name="some", keep=drawn["keep"], exact=drawn["exact"])
    # Refused where no train row has anything to hide.
    with suppress(UsageError):
        write_mask(store, version, spec=spec)
    return version


def check(takes: list[dict[str, Any]], drawn: dict[str, Any]) -> None:
    store = Path(tempfile.mkdtemp(prefix="primus-test-"))
    try:
        with pytest.MonkeyPatch.context() as patch:
            for module in ("arrays", "array_files", "verify_arrays", "verify_manifest"):
                patch.setattr(f"pipelines.stores.{module}.ROWS_PER_CHUNK", drawn["rows"])
            try:
                version = publish(store, takes, drawn)
            except PrimusError as error:
                if "at least one segment must be stored" not in str(error):
                    raise
                return
            assert verify_version(store, version) == []
            report = repair_version(store, version, parts_root=store / "parts")
            assert (report.healed, report.unhealed) == ((), ())
    finally:
        shutil.rmtree(store, ignore_errors=True)


SETTINGS = {"deadline": None, "suppress_health_check": list(HealthCheck), "derandomize": True}


@pytest.mark.slow
@settings(max_examples=5, **SETTINGS)
@given(takes=st.lists(TAKE, min_size=1, max_size=4), drawn=CONFIG)
def test_random_versions_raise_no_alarm(takes: list[dict[str, Any]], drawn: dict[str, Any]) -> None:
    check(takes, drawn)


@pytest.mark.long
@settings(max_examples=50, **SETTINGS)
@given(takes=st.lists(TAKE, min_size=2, max_size=4), drawn=CONFIG)
def test_fifty_random_versions_raise_no_alarm(
    takes: list[dict[str, Any]], drawn: dict[str, Any]
) -> None:
    check(takes, drawn)
