"""Targets of the binary parsers: Aria's VRS, GoPro's metadata, mp4, parts, zips, tables."""

import io
import struct
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import cache, partial
from pathlib import Path
from unittest import mock

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.align.clock import TakeClock
from pipelines.datasets.base import ImuRecording
from pipelines.imu import aria_vrs, gpmf
from pipelines.imu.gpmf import open_gpmf_imu, read_gpmf_span
from pipelines.imu.gpmf_camera import read_camera_model
from pipelines.imu.gpmf_klv import GpmfError
from pipelines.imu.gpmf_track import GpmfPayload, parse_payloads
from pipelines.imu.realworld_zip import cut_runs, list_recordings, read_recording
from pipelines.imu.table_imu import TABLE_COLUMNS, read_table_ends, read_table_runs
from pipelines.parts.store import PartStore
from pipelines.synthetic.aria_imu import make_calib_json
from pipelines.synthetic.vrs_writer import AriaImuBlock, AriaImuStream, write_aria_vrs
from pipelines.video.decode import open_video
from pipelines.video.probe import probe_video
from schemas.errors import StoreDamagedError, TakeError
from schemas.time import NS_PER_MS, NS_PER_S, Interval
from tests.fuzz.target import Target, check_recording
from tests.gopro_files import Sensor, make_payloads, write_clip
from tests.video_files import make_frames, write_video

__all__ = ["BINARY_TARGETS"]

_ORIGIN_NS = 300 * NS_PER_S
_KEY = "ab" * 32


@cache
def _vrs_files() -> Sequence[bytes]:
    rng = np.random.default_rng(0)
    files = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.vrs"
        for calib_json, records in ((make_calib_json(), 20), (None, 3)):
            blocks = []
            for instance, hz in ((1, 1000), (2, 800)):
                accel, gyro = rng.normal(size=(2, records, 3))
                t_ns = _ORIGIN_NS + np.arange(records) * (NS_PER_S // hz)
                blocks.append(
                    AriaImuBlock(instance=instance, t_ns=t_ns, accel_m_s2=accel, gyro_rad_s=gyro)
                )
            streams = [
                AriaImuStream(instance=1, label="imu-right", nominal_rate_hz=1000),
                AriaImuStream(instance=2, label="imu-left", nominal_rate_hz=800),
            ]
            write_aria_vrs(path, streams=streams, blocks=[blocks], calib_json=calib_json)
            plain = path.read_bytes()
            files += [plain, _packed_index(plain, "zstd"), _packed_index(plain, "lz4")]
    return files


def _packed_index(data: bytes, codec: str) -> bytes:
    """Return a VRS file with the entries of its index, the last record, packed."""
    (at,) = struct.unpack_from("<q", data, 24)
    body = data[at + 32 :]
    (streams,) = struct.unpack_from("<I", body)
    told = 8 + 6 * streams
    entries: bytes = pa.compress(body[told:], codec=codec, asbytes=True)
    packed = body[:told] + entries
    header = bytearray(data[at : at + 32])
    struct.pack_into("<I", header, 0, 32 + len(packed))
    header[27] = {"lz4": 1, "zstd": 2}[codec]
    struct.pack_into("<I", header, 28, len(body))
    return data[:at] + bytes(header) + packed


def _parse_vrs(data: bytes, folder: Path) -> None:
    path = folder / "a.vrs"
    path.write_bytes(data)
    span = Interval(0, NS_PER_S)
    clock = TakeClock(
        device_ns=np.array([_ORIGIN_NS, _ORIGIN_NS + span.end_ns]),
        take_ns=np.array([0, span.end_ns]),
        span=span,
    )
    # Whatever the vendor's library makes of it happens in a process of its own.
    with mock.patch.object(aria_vrs, "open_aria_library", _no_library):
        recording = aria_vrs.open_aria_imu(
            path, stream="imu-right", clock=clock, accept_sensor_frame=len(data) % 2 == 0
        )
        check_recording(recording, most=len(data))


def _no_library(path: Path, *, stream: str) -> None:
    raise TakeError("vrs_layout_unknown", f"left to the library [{path}]")


_Packets = list[tuple[int, bytes]]


@cache
def _gpmf_tracks() -> Sequence[bytes]:
    tracks = []
    for orin, zero_us, device in (
        ("XYZ", None, "HERO9 Black"),
        ("YxZ", 1 << 40, "HERO9 Black"),
        ("ZXY", 5, "Camera"),
    ):
        payloads = make_payloads(
            seconds=3,
            accel=Sensor(rate_hz=7),
            gyro=Sensor(rate_hz=11),
            camera_zero_us=zero_us,
            orin=orin,
            device=device,
        )
        tracks.append(_join_track([(i * NS_PER_S, data) for i, data in enumerate(payloads)]))
    return tracks


def _join_track(packets: _Packets) -> bytes:
    """Return a track as bytes: of each packet its time and length, then itself."""
    return b"".join(struct.pack(">qI", t_ns, len(data)) + data for t_ns, data in packets)


def _split_track(data: bytes) -> _Packets:
    packets, at = [], 0
    while at + 12 <= len(data):
        t_ns, length = struct.unpack_from(">qI", data, at)
        # As a container that counts microseconds says it.
        packets.append((t_ns // 1000 * 1000, data[at + 12 : at + 12 + length]))
        at += 12 + length
    return packets


def _parse_gpmf(data: bytes, folder: Path) -> None:
    packets = _split_track(data)
    path = folder / "a.mp4"
    path.write_bytes(b"")

    def read(_: Path) -> Iterator[GpmfPayload]:
        return parse_payloads(packets)

    with mock.patch.object(gpmf, "read_payloads", read):
        origin_ns = packets[0][0] if packets else 0
        span = read_gpmf_span(path, origin_ns=origin_ns)
        assert span.end_ns > span.start_ns
        check_recording(
            open_gpmf_imu(path, origin_ns=origin_ns, accept_sensor_frame=len(data) % 2 == 0),
            most=len(data),
        )


@cache
def _clips() -> Sequence[bytes]:
    payloads = make_payloads(seconds=2, accel=Sensor(rate_hz=5), gyro=Sensor(rate_hz=8))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.mp4"
        write_clip(path, payloads, frames=4)
        clip = path.read_bytes()
        clips = [clip, _with_user_data(clip)]
        frames = make_frames(5, height=32, width=32)
        clips.append(write_video(path, frames, gop=2).read_bytes())
    return clips


def _with_user_data(clip: bytes) -> bytes:
    """Return a clip whose header, the last box, has the boxes that cameras name themselves in."""
    at = clip.rindex(b"moov") - 4
    (size,) = struct.unpack_from(">I", clip, at)
    named = b"MINFc\x01\x00\x0bHERO7 Black\x00"
    boxes = b"".join(
        struct.pack(">I", 8 + len(body)) + kind + body
        for kind, body in ((b"FIRM", b"HD7.01.01.90.00\0"), (b"GPMF", named))
    )
    user = struct.pack(">I", 8 + len(boxes)) + b"udta" + boxes
    head = struct.pack(">I", size + len(user))
    return clip[:at] + head + clip[at + 4 : at + size] + user + clip[at + size :]


def _parse_mp4(data: bytes, folder: Path) -> None:
    path = folder / "a.mp4"
    path.write_bytes(data)
    with suppress(GpmfError):
        assert len(read_camera_model(path)) <= len(data)
    probe = probe_video(path)
    assert probe.rate > 0
    assert probe.num_frames_from_header > 0
    try:
        check_recording(
            open_gpmf_imu(path, origin_ns=probe.first_pts_ns, accept_sensor_frame=True),
            most=len(data),
        )
    except TakeError as error:
        if error.code not in _WITHOUT_IMU:
            raise
    reader = open_video(path, decoder="pyav")
    assert (np.diff(reader.pts_ns) > 0).all()
    wanted = np.arange(min(len(reader), 3))
    assert sum(len(frames) for frames in reader.read(wanted, short_side=16)) == len(wanted)


# A video without a metadata track is a video all the same.
_WITHOUT_IMU = ("imu_stream_missing", "accel_missing", "gyro_missing", "imu_too_short")


@cache
def _parts() -> Sequence[bytes]:
    table = pa.table(
        {
            "t_ns": np.arange(40),
            "text": [f"sentence {i}" for i in range(40)],
            "jpeg": pa.array([b"x" * (i % 5) for i in range(40)]),
            "embedding": pa.FixedSizeListArray.from_arrays(np.zeros(160, np.float16), 4),
            "valid": np.arange(40) % 3 == 0,
        }
    )
    with tempfile.TemporaryDirectory() as folder:
        store = PartStore(Path(folder))
        batches = table.to_batches(max_chunksize=16)
        store.write("imu", _KEY, schema=table.schema, batches=batches, metadata={"a": "b"})
        return [Path(str(store.path("imu", _KEY))).read_bytes()]


def _parse_part(data: bytes, folder: Path) -> None:
    store = PartStore(folder)
    path = Path(str(store.path("imu", _KEY)))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    sound = store.has("imu", _KEY)
    for read in (
        partial(store.read_table, "imu", _KEY),
        partial(store.read_columns, "imu", _KEY, names=("t_ns", "text")),
    ):
        try:
            table = read()
        except StoreDamagedError:
            continue
        assert len(table) < 1 << 24
        # What verifies is what was written: nothing is made up.
        assert not sound or table["t_ns"].to_pylist() == list(range(40))
    if not sound:
        raise StoreDamagedError("part must match its digest")


@cache
def _zips() -> Sequence[bytes]:
    rows = "".join(f"{i},{1435993968000 + 20 * i},0.1,9.8,0.{i}\n" for i in range(30))
    table = f"id,attr_time,attr_x,attr_y,attr_z\n{rows}"
    files = []
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        inner = _zip({"acc_walking_2_head.csv": table.encode()}, method)
        files.append(inner)
        files.append(_zip({"readme.txt": b"x", "acc_walking_2_csv.zip": inner}, method))
    return files


def _zip(members: dict[str, bytes], method: int) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(zipfile.ZipInfo(name), data, compress_type=method)
    return buffer.getvalue()


def _parse_zip(data: bytes, folder: Path) -> None:
    path = folder / "acc_walking_csv.zip"
    path.write_bytes(data)
    for member in list_recordings(path).members:
        triad = read_recording(path, member.name)
        if len(triad.t_ns) or len(triad.invalid_ns):
            runs = cut_runs(triad, gyro=triad, origin_ns=0)
            check_recording(ImuRecording(runs=runs, frame="sensor", stream="acc"), most=1 << 20)


def _parse_inner_csv(data: bytes, folder: Path) -> None:
    _parse_zip(_zip({"acc_walking_head.csv": data}, zipfile.ZIP_STORED), folder)


def _inner_csvs() -> Sequence[bytes]:
    return [zipfile.ZipFile(io.BytesIO(_zips()[0])).read("acc_walking_2_head.csv")]


@cache
def _parquets() -> Sequence[bytes]:
    table = pa.table(
        {
            "t_ns": np.arange(50) * 10 * NS_PER_MS,
            **{name: np.full(50, 5.7 if "accel" in name else 0.1) for name in TABLE_COLUMNS[1:]},
        }
    )
    files = []
    for options in ({"compression": "none", "use_dictionary": False}, {"compression": "zstd"}):
        buffer = io.BytesIO()
        pq.write_table(table, buffer, row_group_size=20, **options)
        files.append(buffer.getvalue())
    return files


def _parse_table(data: bytes, folder: Path, *, suffix: str) -> None:
    path = folder / f"imu{suffix}"
    path.write_bytes(data)
    first, last = read_table_ends(path)
    span = Interval(0, max(last - first, 1))
    clock = TakeClock(
        device_ns=np.array([first, first + span.end_ns]),
        take_ns=np.array([0, span.end_ns]),
        span=span,
    )
    runs = read_table_runs(path, clock=clock)
    check_recording(ImuRecording(runs=runs, frame="device", stream="table"), most=1 << 20)


def _csv_tables() -> Sequence[bytes]:
    rows = "".join(f"{i * 10_000_000},0.5,{9.8 + i / 100},0.1,0,0.2,\n" for i in range(30))
    return [f"{','.join(TABLE_COLUMNS)}\n{rows}".encode()]


BINARY_TARGETS = {
    target.name: target
    for target in (
        Target(name="vrs", originals=_vrs_files, parse=_parse_vrs),
        Target(name="gpmf", originals=_gpmf_tracks, parse=_parse_gpmf),
        Target(name="mp4", originals=_clips, parse=_parse_mp4),
        Target(name="part", originals=_parts, parse=_parse_part, allowed=(StoreDamagedError,)),
        Target(name="zip", originals=_zips, parse=_parse_zip),
        Target(name="zip_csv", originals=_inner_csvs, parse=_parse_inner_csv, text=True),
        Target(name="parquet", originals=_parquets, parse=partial(_parse_table, suffix=".parquet")),
        Target(
            name="imu_csv",
            originals=_csv_tables,
            parse=partial(_parse_table, suffix=".csv"),
            text=True,
        ),
    )
}
