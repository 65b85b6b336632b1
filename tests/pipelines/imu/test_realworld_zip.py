import io
import zipfile
from pathlib import Path

import numpy as np
import pytest

from pipelines.imu import realworld_zip
from pipelines.imu.realworld_zip import RecordedTriad, cut_runs, list_recordings, read_recording
from schemas.errors import TakeError
from schemas.time import NS_PER_MS, NS_PER_S

HEAD = "id,attr_time,attr_x,attr_y,attr_z\n"


def zipped(files: dict[str, bytes | str]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def write(path: Path, files: dict[str, bytes | str]) -> Path:
    path.write_bytes(zipped(files))
    return path


def named(path: Path) -> list[tuple[str, str, int, str, str]]:
    return [
        (m.sensor, m.activity, m.part, m.position, m.name) for m in list_recordings(path).members
    ]


def test_plain_archive_lists_its_sensors_and_passes_the_rest_over(tmp_path: Path) -> None:
    files = {
        "readme.txt": "",
        "acc_walking_head.csv": HEAD,
        "sub/acc_walking_shin.csv": HEAD,
        "MagneticField_walking_head.csv": HEAD,
        "__MACOSX/._acc_walking_head.csv": "",
        "acc_walking_head.csv.bak": "",
    }
    assert named(write(tmp_path / "acc_walking_csv.zip", files)) == [
        ("acc", "walking", 1, "head", "acc_walking_head.csv"),
        ("acc", "walking", 1, "shin", "sub/acc_walking_shin.csv"),
    ]


@pytest.mark.parametrize(
    ("archive", "inner", "csv", "part"),
    [
        pytest.param("gyr_climbingup_csv.zip", None, "Gyroscope_climbingup_head.csv", 1, id="none"),
        pytest.param("gyr_walking_csv.zip", None, "Gyroscope_walking_2_head.csv", 2, id="own"),
        pytest.param("gyr_walking_3_csv.zip", None, "Gyroscope_walking_head.csv", 3, id="archive"),
        pytest.param(
            "gyr_walking_csv.zip",
            "gyr_walking_2_csv.zip",
            "Gyroscope_walking_head.csv",
            2,
            id="inner_archive",
        ),
        pytest.param(
            "gyr_walking_csv.zip",
            "gyr_walking_csv.zip",
            "Gyroscope_walking_head.csv",
            1,
            id="inner_without",
        ),
        pytest.param(
            "gyr_walking_csv.zip",
            "gyr_walking_2_csv.zip",
            "gyr_walking_3_head.csv",
            3,
            id="own_before_archive",
        ),
    ],
)
def test_part_comes_from_the_nearest_name_with_a_number(
    tmp_path: Path, archive: str, inner: str | None, csv: str, part: int
) -> None:
    files: dict[str, bytes | str] = {csv: HEAD} if inner is None else {inner: zipped({csv: HEAD})}
    (found,) = list_recordings(write(tmp_path / archive, files)).members
    assert (found.sensor, found.part) == ("gyr", part)
    assert found.name == (csv if inner is None else f"{inner}/{csv}")


def test_rows_are_sorted_and_everything_left_out_is_counted(tmp_path: Path) -> None:
    rows = [
        "1,1000,1,2,3",
        "2,1040,4,5,6",
        "3,1020,7,8,9",  # stands behind a later one
        "4,1060,NaN,1,1",
        "5,1080,,,",
        "6,1040,0,0,0",  # a stamp that is there already
        "7,,1,1,1",
        "8,1100,inf,1,1",
        "9,1120,1.5,-2.5,9.81",
    ]
    path = write(tmp_path / "a.zip", {"x.csv": HEAD + "\n".join(rows) + "\n"})
    found = read_recording(path, "x.csv")
    assert (found.t_ns // NS_PER_MS).tolist() == [1000, 1020, 1040, 1120]
    assert found.values.tolist() == [[1, 2, 3], [7, 8, 9], [4, 5, 6], [1.5, -2.5, 9.81]]
    assert (found.invalid_ns // NS_PER_MS).tolist() == [1060, 1080, 1100]
    assert (found.backward, found.duplicates, found.unstamped) == (2, 1, 1)


def test_columns_are_found_by_name_whatever_their_order(tmp_path: Path) -> None:
    data = "attr_z,attr_time,id,attr_y,attr_x\n3,1000,1,2,1\n"
    found = read_recording(write(tmp_path / "a.zip", {"x.csv": data}), "x.csv")
    assert found.values.tolist() == [[1, 2, 3]]
    assert found.t_ns.tolist() == [1000 * NS_PER_MS]


def test_file_in_a_nested_archive_is_read(tmp_path: Path) -> None:
    inner = zipped({"d/x.csv": HEAD + "1,5,1,2,3\n"})
    path = write(tmp_path / "a.zip", {"b.zip": inner})
    assert read_recording(path, "b.zip/d/x.csv").t_ns.tolist() == [5 * NS_PER_MS]


@pytest.mark.parametrize(
    ("data", "code", "match"),
    [
        pytest.param("id,attr_time,attr_x\n1,2,3\n", "imu_file_malformed", "attr_y", id="column"),
        pytest.param(HEAD + "1,soon,1,2,3\n", "imu_file_malformed", "numbers", id="stamp"),
        pytest.param(HEAD + "1,2,a,2,3\n", "imu_file_malformed", "numbers", id="value"),
        pytest.param("", "imu_file_malformed", "x.csv", id="empty"),
    ],
)
def test_malformed_files_are_refused(tmp_path: Path, data: str, code: str, match: str) -> None:
    path = write(tmp_path / "a.zip", {"x.csv": data})
    with pytest.raises(TakeError, match=match) as caught:
        read_recording(path, "x.csv")
    assert caught.value.code == code


def test_missing_member_and_damaged_archives_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.zip", {"b.zip": b"no zip", "x.csv": HEAD + "1,2,3,4,5\n" * 999})
    with pytest.raises(TakeError, match=r"imu_file_missing: archive must hold y.csv"):
        read_recording(path, "y.csv")
    with pytest.raises(TakeError, match=r"imu_file_unreadable.*\[a.zip/b.zip\]"):
        list_recordings(path)
    (tmp_path / "c.zip").write_bytes(path.read_bytes()[:100])
    with pytest.raises(TakeError, match=r"imu_file_unreadable: .*whole zip file.*\[c.zip\]"):
        list_recordings(tmp_path / "c.zip")
    data = bytearray(write(tmp_path / "d.zip", {"x.csv": HEAD + "1,2,3,4,5\n" * 999}).read_bytes())
    data[60:80] = b"\xff" * 20
    (tmp_path / "d.zip").write_bytes(data)
    with pytest.raises(TakeError, match="imu_file_unreadable"):
        read_recording(tmp_path / "d.zip", "x.csv")


@pytest.mark.parametrize("damage", ["no_zip", "cut", "packing"])
def test_a_damaged_archive_inside_costs_only_its_own_files(tmp_path: Path, damage: str) -> None:
    inner = {f"acc_walking{n}_csv.zip": zipped({f"acc_walking{n}_head.csv": HEAD + "1,2,3,4,5\n"})
             for n in ("", "_2", "_3")}  # fmt: skip
    bad = "acc_walking_2_csv.zip"
    if damage == "no_zip":
        inner[bad] = b"no zip"
    elif damage == "cut":
        inner[bad] = inner[bad][:40]
    data = bytearray(zipped({**inner}))
    if damage == "packing":
        # The bytes of the packed archive itself, behind its local header.
        at = data.index(bad.encode()) + len(bad)
        data[at + 10 : at + 30] = b"\xff" * 20
    path = tmp_path / "acc_walking_csv.zip"
    path.write_bytes(data)
    listing = list_recordings(path)
    assert [(m.part, m.name) for m in listing.members] == [
        (1, "acc_walking_csv.zip/acc_walking_head.csv"),
        (3, "acc_walking_3_csv.zip/acc_walking_3_head.csv"),
    ]
    (broken,) = listing.broken
    assert (broken.sensor, broken.activity, broken.part) == ("acc", "walking", 2)
    assert broken.fault.code == "imu_file_unreadable"
    assert broken.fault.detail.endswith(f"[acc_walking_csv.zip/{bad}]")


def test_an_archive_inside_that_is_too_large_costs_only_its_own_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files: dict[str, bytes | str] = {
        "gyr_lying_csv.zip": zipped({"Gyroscope_lying_head.csv": HEAD}),
        "gyr_lying_2_csv.zip": b"\0" * 5000,
    }
    monkeypatch.setattr(realworld_zip, "LARGEST_ZIP_MEMBER_BYTES", 1000)
    listing = list_recordings(write(tmp_path / "gyr_lying_csv.zip", files))
    assert [m.part for m in listing.members] == [1]
    assert [(b.part, b.fault.code) for b in listing.broken] == [(2, "imu_file_too_large")]


def test_what_unpacks_to_too_much_is_refused_unread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(realworld_zip, "LARGEST_ZIP_MEMBER_BYTES", 1000)
    bomb = HEAD + " " * 100_000
    with pytest.raises(TakeError, match=r"imu_file_too_large: .*at most 1000 bytes, got 100034"):
        read_recording(write(tmp_path / "a.zip", {"x.csv": bomb}), "x.csv")
    nested = write(tmp_path / "b.zip", {"i.zip": b"\0" * 2000})
    with pytest.raises(TakeError, match=r"imu_file_too_large: .*at most 1000 bytes, got 2000"):
        list_recordings(nested)


def triad(ms: list[int], *, invalid: tuple[int, ...] = ()) -> RecordedTriad:
    t_ns = np.array(ms, np.int64) * NS_PER_MS
    return RecordedTriad(
        t_ns=t_ns,
        values=np.stack([t_ns / 1e6] * 3, axis=1),
        invalid_ns=np.array(invalid, np.int64) * NS_PER_MS,
        backward=0,
        duplicates=0,
        unstamped=0,
    )


def test_runs_are_minutes_and_lose_nothing() -> None:
    accel = triad([*range(0, 130_000, 1000)], invalid=(500, 60_000, 129_500))
    gyro = triad([*range(50_500, 190_000, 1000)], invalid=(60_000,))
    runs = list(cut_runs(accel, gyro=gyro, origin_ns=NS_PER_S))
    assert len(runs) == 4
    assert [len(run.accel) for run in runs] == [60, 60, 10, 0]
    for name, whole in (("accel", accel), ("gyro", gyro)):
        t_ns = np.concatenate([getattr(run, name).t_ns for run in runs])
        np.testing.assert_array_equal(t_ns, whole.t_ns - NS_PER_S)
        values = np.concatenate([getattr(run, name).values for run in runs])
        np.testing.assert_array_equal(values, whole.values)
    invalid = np.concatenate([run.invalid_ns for run in runs]) // NS_PER_MS + 1000
    assert invalid.tolist() == [500, 60_000, 60_000, 129_500]


@pytest.mark.parametrize(
    ("first", "last"),
    [("-1", "5"), ("0", "1500000000000"), ("1", "99999999999999999"), ("5", "86400006")],
    ids=["negative", "clock_was_set", "beyond_int64_ns", "over_a_day"],
)
def test_stamps_that_cannot_be_are_refused(tmp_path: Path, first: str, last: str) -> None:
    path = write(tmp_path / "a.zip", {"x.csv": f"{HEAD}1,{first},0,0,9.8\n2,{last},0,0,9.8\n"})
    with pytest.raises(TakeError, match=f"attr_time must be .* got {first} to {last}") as caught:
        read_recording(path, "x.csv")
    assert caught.value.code == "imu_file_malformed"


def test_a_recording_of_a_day_is_read(tmp_path: Path) -> None:
    path = write(tmp_path / "a.zip", {"x.csv": f"{HEAD}1,5,0,0,9.8\n2,86400005,1e300,0,9.8\n"})
    read = read_recording(path, "x.csv")
    assert read.t_ns.tolist() == [5 * NS_PER_MS]
    assert read.invalid_ns.tolist() == [86_400_005 * NS_PER_MS]


def test_odd_names_and_packings_are_unreadable_not_unexpected(tmp_path: Path) -> None:
    whole = zipped({"acc_walking_head.csv": HEAD + "1,2,3,4,5\n" * 99})
    name = whole.replace(b"acc_", b"\xff\xfe\xff_")
    marked, lzma = bytearray(name), bytearray(whole)
    for sign, flags, method in ((b"PK\x01\x02", 9, 10), (b"PK\x03\x04", 7, 8)):
        marked[name.index(sign) + flags] |= 8  # "names are UTF-8"
        lzma[whole.index(sign) + method] = 14
    path = tmp_path / "acc_walking_csv.zip"
    path.write_bytes(marked)
    with pytest.raises(TakeError, match="imu_file_unreadable"):
        list_recordings(path)
    path.write_bytes(lzma)
    with pytest.raises(TakeError, match="imu_file_unreadable"):
        read_recording(path, "acc_walking_head.csv")


def test_a_folder_named_like_an_archive_is_passed_over(tmp_path: Path) -> None:
    path = write(tmp_path / "acc_walking_csv.zip", {"old.zip/": "", "acc_walking_head.csv": HEAD})
    assert [m.name for m in list_recordings(path).members] == ["acc_walking_head.csv"]


def test_member_that_claims_to_be_packed_into_gigabytes_is_refused(tmp_path: Path) -> None:
    data = bytearray(zipped({"acc_walking_head.csv": HEAD}))
    # In the central directory, the packed size is 20 bytes behind the signature.
    at = data.index(b"PK\x01\x02") + 20
    data[at : at + 4] = (0xF0000000).to_bytes(4, "little")
    path = tmp_path / "acc_walking_csv.zip"
    path.write_bytes(data)
    with pytest.raises(TakeError, match="be packed into at most") as caught:
        read_recording(path, "acc_walking_head.csv")
    assert caught.value.code == "imu_file_too_large"
