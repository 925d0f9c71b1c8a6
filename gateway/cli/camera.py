"""gateway camera count: count a recorded video, to try a line and a model."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from gateway.cli.output import print_json
from gateway.model.errors import BadArgument


def room() -> None:
    """Try a camera or a video. / Thử camera hoặc đoạn phim."""


def count(
    video: Annotated[Path, typer.Argument(help="A video file. / Tệp phim.")],
    line: Annotated[str, typer.Option("--line", help="x1,y1,x2,y2 in pixels of the video. / Vạch đếm, điểm ảnh.")],
    model: Annotated[Path | None, typer.Option("--model", help="ONNX detector; without: motion. / Mô hình.")] = None,
    start: Annotated[float | None, typer.Option("--start", help="From this second. / Từ giây.")] = None,
    end: Annotated[float | None, typer.Option("--end", help="To this second. / Đến giây.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object. / Xuất JSON.")] = False,
) -> None:
    """Count what crosses a line of a video, by class and direction. / Đếm lượt qua vạch theo loại và hướng.

    Pictures stay in a child process; nothing of them is stored.
    """
    from vision.offline import count_video

    ends = _line(line)
    result = count_video(video, ends, model=model, start_s=start, end_s=end, progress=_progress())
    if as_json:
        print_json(result)
    else:
        _print(result)


def _line(text: str) -> tuple[float, float, float, float]:
    try:
        x1, y1, x2, y2 = (float(part) for part in text.split(","))
    except ValueError as error:
        raise BadArgument(
            f"--line {text!r} is not x1,y1,x2,y2", hint="four numbers, as in --line 150,300,958,300"
        ) from error
    return x1, y1, x2, y2


def _progress() -> Any:
    """A counter on stderr where a person watches, nothing in a pipe."""
    if not sys.stderr.isatty():
        return None

    def show(done: float) -> None:
        sys.stderr.write(f"\r{100 * done:3.0f} % " + ("\n" if done >= 1 else ""))
        sys.stderr.flush()

    return show


def _print(result: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    ways = list(result["total"])
    table = Table("class / loại", *ways)
    for name, counts in result["counts"].items():
        table.add_row(name, *(str(counts.get(way, 0)) for way in ways))
    table.add_row("total / tổng", *(str(result["total"][way]) for way in ways), style="bold")
    console = Console()
    console.print(table)
    console.print(f"{result['frames']} frames, {result['seconds']:.1f} s, {result['fps']:.1f} frames/s")
