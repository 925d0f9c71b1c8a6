"""TROUBLESHOOTING.md from its hand-written beginning and the catalogue of codes.

python -P -m config.troubleshooting > TROUBLESHOOTING.md
"""

from __future__ import annotations

import sys
from importlib import resources

from gateway.model.codes import Explanation, catalogue

_SECTIONS = {
    "error": ("Errors", "Lỗi khi chạy", "A running gateway logs these as `[code] place: what (hint: …)`."),
    "finding": (
        "Findings",
        "Lỗi trong tệp cấu hình",
        "`gateway check FILE` prints these as `file:line:col code path: what`.",
    ),
    "reason": ("Reasons", "Lý do kèm số liệu", "These travel with a value to the operations centre (`f` of a record)."),
}


def document() -> str:
    """The whole text of TROUBLESHOOTING.md."""
    beginning = resources.files("config").joinpath("troubleshooting.md").read_text(encoding="utf-8")
    sections = [_section(kind) for kind in _SECTIONS]
    return beginning + "".join(sections)


def _section(kind: str) -> str:
    title_en, title_vi, words = _SECTIONS[kind]
    entries = [_entry(entry) for entry in catalogue().values() if entry.kind == kind]
    return f"\n## {title_en} / {title_vi}\n\n{words}\n{''.join(entries)}"


def _entry(entry: Explanation) -> str:
    return (
        f"\n### {entry.code}\n\n"
        f"**{entry.title_en}.** {entry.meaning_en}\n*What to do:* {entry.action_en}\n\n"
        f"**{entry.title_vi}.** {entry.meaning_vi}\n*Cách xử lý:* {entry.action_vi}\n"
    )


if __name__ == "__main__":
    sys.stdout.write(document())
