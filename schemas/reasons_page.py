"""``docs/quarantine.md``, rendered from the table: ``python -m schemas.reasons_page > FILE``."""

import sys

from schemas.reasons import KINDS, reasons_of

__all__ = ["render_reasons"]

_HEAD = """\
# Reasons: what was left out, why, and what to do

A run never stops for bad data, and never stores what it cannot vouch for. What is left out is
counted under a reason: in `manifest.json`, in `run --json`, in `status`, and take by take with a
sentence that names file, rule and value in `versions/<id>/quarantine.parquet`.

`primus-prep retry --config F --reason CODE` runs again only the takes of one reason, once their
data are mended. Faults of the machine, such as a full disk or storage that does not answer, are no
reasons: they end the run with a sentence, and `run` goes on from there.

This page is rendered from the table in `schemas/reasons/` by
`python -m schemas.reasons_page > docs/quarantine.md`; a test compares both with the code.
"""


def render_reasons() -> str:
    """Return the page in Markdown."""
    parts = [_HEAD]
    for kind, title in KINDS.items():
        what, _, meaning = title.partition(": ")
        rows = "\n".join(
            f"| `{row.code}` | {row.meaning} | {row.remedy} |" for row in reasons_of(kind)
        )
        parts.append(
            f"## {what}\n\n{meaning[0].upper()}{meaning[1:]}.\n\n"
            f"| reason | what was found | what to do |\n|---|---|---|\n{rows}\n"
        )
    return "\n".join(parts)


if __name__ == "__main__":
    sys.stdout.write(render_reasons())
