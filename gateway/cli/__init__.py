"""The command line: one file a verb. Heavy imports happen inside the verbs, so that `gateway --help` is quick."""

from __future__ import annotations

import sys

import typer

from gateway.cli import buffer_verbs, camera, check, demo, explain, read, run, simulate, status
from gateway.cli.output import fail
from gateway.model.errors import GatewayError

app = typer.Typer(
    name="gateway",
    help="Edge gateway: sensors, cameras and street lights to the operations centre."
    " / Gateway biên: cảm biến, camera và đèn đường về trung tâm điều hành.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
buffer_app = typer.Typer(help="Look into the store. / Xem kho dữ liệu tại chỗ.", no_args_is_help=True)
camera_app = typer.Typer(help="Try a camera or a video. / Thử camera hoặc đoạn phim.", no_args_is_help=True)

app.command("run")(run.run)
app.command("check")(check.check)
app.command("demo")(demo.demo)
app.command("simulate")(simulate.simulate)
app.command("status")(status.status)
app.command("read")(read.read)
app.command("explain")(explain.explain)
buffer_app.command("show")(buffer_verbs.show)
camera_app.command("count")(camera.count)
buffer_app.callback()(buffer_verbs.room)
camera_app.callback()(camera.room)
app.add_typer(buffer_app, name="buffer")
app.add_typer(camera_app, name="camera")


def main() -> None:
    """Entry point of the console script. Our own errors become one line and a hint, never a traceback."""
    try:
        app()
    except GatewayError as error:
        sys.exit(fail(error))
    except BaseExceptionGroup as group:  # what a task group makes of our errors
        ours, others = group.split(GatewayError)
        if ours is None or others is not None:
            raise
        sys.exit(fail(_first(ours)))
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        sys.exit(0)  # `gateway ... | head`


def _first(group: BaseExceptionGroup[GatewayError]) -> GatewayError:
    error = group.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error
