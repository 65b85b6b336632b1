"""No value of the environment, and no credentials, in anything a run leaves behind."""

import logging
from pathlib import Path

import pytest

from flows.prepare import prepare
from pipelines.config import PrepConfig, load_config
from pipelines.stores.verify import read_run_record
from pipelines.synthetic.realworld import write_realworld
from primus_train.data.places import open_root
from schemas.errors import UsageError

SECRETS = {
    "AWS_ACCESS_KEY_ID": "AKIASECRETSECRETSECR",
    "AWS_SECRET_ACCESS_KEY": "s3cr3t/ofTheObjectStore+key",
    "AWS_SESSION_TOKEN": "FwoGsecretsessiontoken",
    "HF_TOKEN": "hf_secretsecretsecret",
    "PREFECT_API_KEY": "pnu_secretsecret",
    "DATABASE_URL": "postgres://me:pa55word@db/x",
    "SOME_PASSWORD": "correct horse battery",
}


@pytest.mark.slow
def test_a_run_leaves_no_value_of_the_environment(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    caplog.set_level(logging.DEBUG)
    write_realworld(tmp_path / "data", takes=2, seconds=12, seed=1, participants=2)
    # One archive is damaged, so that a quarantine's words are there too.
    next((tmp_path / "data").rglob("acc_*.zip")).write_bytes(b"PK damaged")
    summary = prepare(
        PrepConfig.model_validate(
            {
                "dataset": {"name": "realworld", "root": tmp_path / "data"},
                "store": {"uri": str(tmp_path / "store")},
                "execution": {"executor": "inline"},
                "max_quarantine": 1.0,
            }
        )
    )
    assert summary.quarantined_takes == {"imu_file_unreadable": 1}
    record = read_run_record(tmp_path / "store", summary.version)
    assert record.packages
    printed = capfd.readouterr()
    left = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {"manifest.json", "run.json", "quarantine.parquet"} <= {path.name for path in left}
    said = {str(path): path.read_bytes() for path in left}
    said["printed"] = f"{printed.out}{printed.err}{caplog.text}{summary}".encode()
    for name, value in SECRETS.items():
        found = [place for place, data in said.items() if value.encode() in data]
        assert found == [], name


@pytest.mark.parametrize(
    "uri", ["s3://KEY:s3cr3t@bucket/store", "https://me:s3cr3t@host/x", "memory://a:s3cr3t@b/c"]
)
@pytest.mark.parametrize("field", ["store.uri", "store.parts"])
def test_uris_with_credentials_are_refused_and_not_repeated(uri: str, field: str) -> None:
    given = {"dataset.name": "folder", "dataset.root": "x", "store.uri": "store", field: uri}
    with pytest.raises(UsageError, match="must hold no credentials") as caught:
        load_config(None, overrides=given)
    assert "s3cr3t" not in str(caught.value)
    with pytest.raises(UsageError, match="must hold no credentials") as refused:
        open_root(uri)
    assert "s3cr3t" not in str(refused.value)
