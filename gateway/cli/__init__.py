"""The command line: one file a verb. Heavy imports happen inside the verbs, so that `gateway --help` is quick."""

from __future__ import annotations

import sys
from io import TextIOWrapper

import typer

from gateway.cli import (
    alarm_verbs,
    buffer_act,
    buffer_care,
    buffer_export,
    buffer_find,
    buffer_sql,
    buffer_status,
    buffer_verbs,
    camera,
    catalogue_verbs,
    check,
    demo,
    event_verbs,
    explain,
    journal_verbs,
    limit_verbs,
    place_verbs,
    profile_verbs,
    read,
    run,
    scan,
    simulate,
    status,
    tt10,
    violation_verbs,
    watch,
)
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
journal_app = typer.Typer(help="What was done here. / Nhật ký hoạt động.", no_args_is_help=True)
alarm_app = typer.Typer(help="What is wrong right now. / Cảnh báo.", no_args_is_help=True)
camera_app = typer.Typer(help="Try a camera or a video. / Thử camera hoặc đoạn phim.", no_args_is_help=True)

profile_app = typer.Typer(help="Device profiles: find, check, try, begin. / Hồ sơ thiết bị.", no_args_is_help=True)
scan_app = typer.Typer(
    help="Find ports, units and hosts; only reads. / Dò cổng, thiết bị, chỉ đọc.", no_args_is_help=True
)
tt10_app = typer.Typer(
    help="Files of Thông tư 10 for the authority. / Tệp số liệu gửi cơ quan quản lý.", no_args_is_help=True
)

limits_app = typer.Typer(help="What values are held against. / Giới hạn áp dụng.", no_args_is_help=True)
violation_app = typer.Typer(help="Violations in the journal. / Vi phạm trong nhật ký.", no_args_is_help=True)
event_app = typer.Typer(help="Festivals, night markets and the like. / Sự kiện.", no_args_is_help=True)
place_app = typer.Typer(help="Codes of provinces and communes. / Mã tỉnh, mã xã phường.", no_args_is_help=True)

catalogue_app = typer.Typer(
    help="Indicators: what they mean, how they are formed. / Danh mục chỉ số.", no_args_is_help=True
)

app.command("run")(run.run)
app.command("check")(check.check)
app.command("demo")(demo.demo)
app.command("simulate")(simulate.simulate)
app.command("status")(status.status)
app.command("read")(read.read)
app.command("watch")(watch.watch)
app.command("explain")(explain.explain)
scan_app.command("ports")(scan.ports)
scan_app.command("bus")(scan.bus)
scan_app.command("tcp")(scan.tcp)
profile_app.command("list")(profile_verbs.list_)
profile_app.command("show")(profile_verbs.show)
profile_app.command("check")(profile_verbs.check)
profile_app.command("try")(profile_verbs.try_)
profile_app.command("new")(profile_verbs.new)
limits_app.command("list")(limit_verbs.list_)
limits_app.command("show")(limit_verbs.show)
violation_app.command("list")(violation_verbs.list_)
violation_app.command("show")(violation_verbs.show)
violation_app.command("ack")(violation_verbs.ack)
event_app.command("list")(event_verbs.list_)
event_app.command("show")(event_verbs.show)
event_app.command("archive")(event_verbs.archive)
place_app.command("find")(place_verbs.find)
place_app.command("show")(place_verbs.show)
buffer_app.command("status")(buffer_status.status)
buffer_app.command("show")(buffer_verbs.show)
buffer_app.command("find")(buffer_find.find)
buffer_app.command("export")(buffer_export.export)
buffer_app.command("sql")(buffer_sql.sql)
buffer_app.command("replay")(buffer_act.replay)
buffer_app.command("retry")(buffer_act.retry)
buffer_app.command("discard")(buffer_act.discard)
buffer_app.command("compact")(buffer_act.compact)
buffer_app.command("verify")(buffer_care.verify)
buffer_app.command("backup")(buffer_care.backup)
journal_app.command("verify")(journal_verbs.verify)
journal_app.command("show")(journal_verbs.show)
journal_app.command("export")(journal_verbs.export)
catalogue_app.command("list")(catalogue_verbs.list_)
catalogue_app.command("show")(catalogue_verbs.show)
catalogue_app.command("check")(catalogue_verbs.check)
alarm_app.command("list")(alarm_verbs.list_)
alarm_app.command("ack")(alarm_verbs.ack)
camera_app.command("count")(camera.count)
tt10_app.command("status")(tt10.status)
tt10_app.command("resend")(tt10.resend)
buffer_app.callback()(buffer_verbs.room)
journal_app.callback()(journal_verbs.room)
camera_app.callback()(camera.room)
app.add_typer(scan_app, name="scan")
app.add_typer(profile_app, name="profile")
app.add_typer(tt10_app, name="tt10")
app.add_typer(limits_app, name="limits")
app.add_typer(violation_app, name="violation")
app.add_typer(event_app, name="event")
app.add_typer(place_app, name="place")
app.add_typer(buffer_app, name="buffer")
app.add_typer(journal_app, name="journal")
app.add_typer(alarm_app, name="alarm")
app.add_typer(camera_app, name="camera")
app.add_typer(catalogue_app, name="catalogue")


def main() -> None:
    """Entry point of the console script. Our own errors become one line and a hint, never a traceback."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # a terminal that is not set to UTF-8 gets "?" for what it cannot show
            stream.reconfigure(errors="replace")
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
