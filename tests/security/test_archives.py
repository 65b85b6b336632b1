"""Archives and encoder folders that unpack to, or claim, far more than they are."""

import gzip
import io
import json
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from pipelines.config import EncoderConfig
from pipelines.encoders import bpe_vocabulary, clip_folder
from pipelines.encoders.bpe_vocabulary import read_bpe_tokenizer
from pipelines.encoders.clip_folder import find_files, read_settings
from pipelines.imu import realworld_zip
from pipelines.imu.realworld_zip import list_recordings, read_recording
from schemas.errors import TakeError, UsageError

NAME = "acc_walking_csv.zip"
MEASURED = """
import json, sys
from pathlib import Path
from pipelines.imu.realworld_zip import list_recordings, read_recording
from schemas.errors import TakeError
from tests.memory_peak import peak_mib
codes = []
for name in map(Path, sys.argv[1:]):
    try:
        for member in list_recordings(name).members:
            read_recording(name, member.name)
        codes.append("")
    except TakeError as error:
        codes.append(error.code)
print(json.dumps({"codes": codes, "mib": peak_mib()}))
"""


def packed(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def test_the_directory_is_looked_at_before_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / NAME
    path.write_bytes(packed({f"{i}.txt": b"" for i in range(100)}))
    assert list_recordings(path).members == ()
    monkeypatch.setattr(realworld_zip, "MOST_ZIP_MEMBERS", 4)
    with pytest.raises(TakeError, match=r"imu_file_too_large: .*at most 4 files, got a directory"):
        list_recordings(path)
    monkeypatch.undo()
    monkeypatch.setattr(realworld_zip, "LARGEST_ZIP_BYTES", path.stat().st_size - 1)
    with pytest.raises(TakeError, match=r"imu_file_too_large: .*bytes and no zip64"):
        list_recordings(path)


def test_a_zip64_directory_is_refused(tmp_path: Path) -> None:
    path = tmp_path / NAME
    data = packed({"a.txt": b"a"})
    end = data[data.rindex(b"PK\5\6") :]
    locator = struct.pack("<4sIQI", b"PK\6\7", 0, 0, 1)
    path.write_bytes(data[: -len(end)] + locator + end)
    with pytest.raises(TakeError, match=r"imu_file_too_large: .*no zip64 directory"):
        list_recordings(path)


def test_archives_are_opened_one_level_deep(tmp_path: Path) -> None:
    inner = packed({"acc_walking_head.csv": b"id,attr_time,attr_x,attr_y,attr_z\n1,1,1,1,1\n"})
    path = tmp_path / NAME
    path.write_bytes(packed({"acc_walking_1_csv.zip": inner}))
    (member,) = list_recordings(path).members
    assert len(read_recording(path, member.name).t_ns) == 1
    path.write_bytes(packed({"acc_walking_1_csv.zip": packed({"again.zip": inner})}))
    assert list_recordings(path).members == ()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="/proc tells the peak")
def test_a_bomb_costs_little_memory(tmp_path: Path) -> None:
    head = b"id,attr_time,attr_x,attr_y,attr_z\n"
    row = b"1,1,1,1,1\n"
    bombs = {
        # As large as a recording may be: every row of it is read.
        "acc_walking_1_csv.zip": (head + row * 3_300_000, ""),
        "acc_walking_2_csv.zip": (head + row * 4_000_000, "imu_file_too_large"),
        "acc_walking_3_csv.zip": (b" " * (300 << 20), "imu_file_too_large"),
    }
    for name, (data, _) in bombs.items():
        (tmp_path / name).write_bytes(packed({"acc_walking_head.csv": data}))
        assert (tmp_path / name).stat().st_size < 1 << 20
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, *(str(tmp_path / name) for name in bombs)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd=Path(__file__).parents[2],
    )
    assert done.returncode == 0, done.stderr[-2000:]
    told = json.loads(done.stdout)
    assert told["codes"] == [code for _, code in bombs.values()]
    assert told["mib"] < 1000


def test_a_tokenizers_merges_unpack_to_a_bounded_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "bpe_simple_vocab_16e6.txt.gz"
    path.write_bytes(gzip.compress(b"\n" * 10_000))
    monkeypatch.setattr(bpe_vocabulary, "LARGEST_MERGES_BYTES", 9_999)
    with pytest.raises(UsageError, match="merges must unpack to at most 9999 bytes"):
        read_bpe_tokenizer(path, vocabulary=600)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (
            '{"vision_config": {"num_hidden_layers": 1001}}',
            "num_hidden_layers must be at most 1000",
        ),
        ('{"text_config": {"hidden_size": 1048577}}', "hidden_size must be at most 1048576"),
        ('{"projection_dim": 99999999}', "projection_dim must be at most 1048576, got 99999999"),
        ("[" * 100_000, "must be JSON, got nested too deeply"),
        ('{"a": NaN}', "must be JSON, got NaN is no JSON"),
        ("[]", "must be an object, got list"),
    ],
)
def test_an_encoders_settings_are_held_to_limits(tmp_path: Path, settings: str, said: str) -> None:
    (tmp_path / "config.json").write_text(settings)
    with pytest.raises(UsageError, match=said):
        read_settings(tmp_path, required=True)


def test_an_encoders_files_are_held_to_a_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    (tmp_path / "tokenizer.json").write_text("{}")
    assert find_files(EncoderConfig(name=str(tmp_path))).weights
    monkeypatch.setattr(clip_folder, "LARGEST_SETTINGS_BYTES", 1)
    with pytest.raises(UsageError, match=r"tokenizer.json must have at most 1 bytes, got 2"):
        find_files(EncoderConfig(name=str(tmp_path)))
