"""How S3 and what speaks its protocol are asked: patiently, but not for minutes on end."""

import os
from importlib import import_module
from typing import Any, Final

__all__ = ["s3_options"]

# A request is sent so often at once; the file system above asks again as a whole, and
# `with_retries` above that. The libraries' own counts multiply to fifty requests and 45 s.
_SENT: Final = 3
_CONNECT_S: Final = 10
_READ_S: Final = 60
_OWN_RETRIES: Final = frozenset({"AWS_MAX_ATTEMPTS", "AWS_RETRY_MODE"})
_SERVER_FAULTS: Final = frozenset({"InternalError", "ServiceUnavailable", "RequestTimeout"})


def s3_options() -> dict[str, Any]:
    """Return what the file system of ``s3://`` is opened with; no credentials are among it.

    Where ``AWS_MAX_ATTEMPTS`` or ``AWS_RETRY_MODE`` is set, requests are sent as often as it says.
    """
    # s3fs by itself asks again after SlowDown alone.
    import_module("s3fs.core").set_custom_error_handler(_may_pass)
    client: dict[str, Any] = {"connect_timeout": _CONNECT_S, "read_timeout": _READ_S}
    if not _OWN_RETRIES & os.environ.keys():
        client["retries"] = {"total_max_attempts": _SENT, "mode": "standard"}
    return {"config_kwargs": client}


def _may_pass(error: BaseException) -> bool:
    response = getattr(error, "response", None)
    if not isinstance(response, dict):
        return False
    status = response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return status >= 500 or response.get("Error", {}).get("Code") in _SERVER_FAULTS
