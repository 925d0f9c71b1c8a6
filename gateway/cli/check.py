"""gateway check FILE: everything that is wrong with a site file, before anyone climbs a pole."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from config.findings import Finding, has_errors
from gateway.cli.output import print_json
from gateway.model.codes import catalogue


def check(
    file: Annotated[Path, typer.Argument(help="The site file. / Tệp cấu hình điểm.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs. / In JSON.")] = False,
) -> None:
    """Check a site file: every mistake at once, with its place and what to do. / Kiểm tra tệp cấu hình.

    Exit code 1 if there are errors; warnings alone end with 0.
    """
    from config.site import findings as findings_of

    found = findings_of(file)
    if as_json:
        print_json({"findings": [finding.as_dict() for finding in found]})
    else:
        for finding in found:
            print(finding)
        print(_summary(file, found))
    raise typer.Exit(1 if has_errors(found) else 0)


def _summary(file: Path, found: list[Finding]) -> str:
    errors = sum(finding.severity == "error" for finding in found)
    warnings = len(found) - errors
    if not found:
        return f"{file}: no findings / không có lỗi"
    seen = [entry for code, entry in catalogue().items() if any(finding.code == code for finding in found)]
    legend = "".join(f"\n    {entry.code}: {entry.title_vi}. {entry.action_vi}" for entry in seen)
    return f"{errors} error(s), {warnings} warning(s) / {errors} lỗi, {warnings} cảnh báo{legend}"
