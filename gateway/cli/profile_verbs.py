"""gateway profile: device profiles as files to find, check, try on a device, and begin from a register table."""

from __future__ import annotations

import asyncio
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from gateway.cli.output import print_json
from gateway.cli.words import seconds
from gateway.model.errors import BadArgument

if TYPE_CHECKING:
    from config.findings import Finding
    from config.profiles import Head
    from drivers.profiles import AnyProfile

_JSON = typer.Option("--json", help="JSON for programs. / Xuất JSON.")
_NAME = re.compile(r"[a-z0-9][a-z0-9-]*")


def list_(
    word: Annotated[str | None, typer.Argument(help="Only what has this word, accents or not. / Từ cần tìm.")] = None,
    *,
    as_json: Annotated[bool, _JSON] = False,
) -> None:
    """List the device profiles there are. / Liệt kê hồ sơ thiết bị."""
    from config.profiles import Shelf
    from gateway.cli.profile_view import head_json, print_heads

    heads = [head for head in Shelf(Path.cwd()).heads() if word is None or _speaks_of(head, word)]
    if as_json:
        print_json({"profiles": [head_json(head) for head in heads]})
    else:
        print_heads(heads)
    raise typer.Exit(0 if heads else 1)


def _speaks_of(head: Head, words: str) -> bool:
    from config.cells import plain

    text = plain(" ".join((head.name, head.title_en, head.title_vi, head.maker, *head.wires)).replace("-", " "))
    return all(word in text for word in plain(words.replace("-", " ")).split())


def show(
    profile: Annotated[str, typer.Argument(help="Name of a profile, or its file. / Tên hoặc tệp hồ sơ.")],
    *,
    as_json: Annotated[bool, _JSON] = False,
) -> None:
    """Show what a profile reads, and from where. / Xem nội dung một hồ sơ."""
    from gateway.cli.profile_view import print_profile

    found = _profile(profile)
    if as_json:
        print_json(found.model_dump(mode="json", exclude_defaults=True))
    else:
        print_profile(found)


def check(
    files: Annotated[list[Path], typer.Argument(help="Profile files. / Các tệp hồ sơ.")],
    *,
    as_json: Annotated[bool, _JSON] = False,
) -> None:
    """Check profiles, and decode their examples. / Kiểm tra hồ sơ và các ví dụ.

    Every mistake at once, with its place. Exit code 1 if there are errors; warnings alone end with 0.
    """
    from config.findings import has_errors
    from config.profiles import check_profile

    checked = {file: check_profile(file) for file in files}
    found = [finding for _, findings in checked.values() for finding in findings]
    if as_json:
        print_json({"findings": [finding.as_dict() for finding in found]})
    else:
        for file, (profile, findings) in checked.items():
            for finding in findings:
                print(finding)
            print(_verdict(file, profile, findings))
    raise typer.Exit(1 if has_errors(found) else 0)


def _verdict(file: Path, profile: AnyProfile | None, findings: list[Finding]) -> str:
    errors = sum(finding.severity == "error" for finding in findings)
    if profile is None or errors:
        return f"{file}: {errors} error(s), {len(findings) - errors} warning(s) / {errors} lỗi"
    points, examples = len(profile.points_by_name()), len(profile.examples)
    missing = sum(finding.code == "no-example" for finding in findings)
    proof = "all are shown / đủ ví dụ" if not missing else f"{missing} without example / chưa có ví dụ"
    return f"{file}: {points} points, {examples} example(s) decode as they say; {proof}"


def new(
    table: Annotated[Path, typer.Argument(metavar="CSV", help="A register table saved as CSV. / Bảng thanh ghi CSV.")],
    *,
    name: Annotated[str | None, typer.Option(help="Name of the profile. / Tên hồ sơ.")] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="File to write; else stdout. / Tệp xuất.")] = None,
    base: Annotated[
        int | None,
        typer.Option(help="What the table calls the first register: 0, 1, 40000 or 40001. / Số của thanh ghi đầu."),
    ] = None,
    where: Annotated[
        Literal["holding", "input", "coil", "discrete"],
        typer.Option("--table", help="Where no column says it. / Loại thanh ghi nếu bảng không ghi."),
    ] = "holding",
    order: Annotated[
        Literal["abcd", "cdab", "badc", "dcba"], typer.Option(help="Byte order, if not said. / Thứ tự byte.")
    ] = "abcd",
    force: Annotated[bool, typer.Option("--force", help="Write over a file. / Ghi đè.")] = False,
) -> None:
    """Begin a profile from a register table. / Tạo hồ sơ từ bảng thanh ghi CSV.

    Headings may be English or Vietnamese: address, name, type, unit, scale, function (địa chỉ, tên, kiểu, đơn vị,
    hệ số, mã hàm), and raw and value for an example. Rows that are not understood are named on stderr and left out;
    then the exit code is 1.
    """
    from config.register_table import Wanted, convert

    if base not in {None, 0, 1, 40_000, 40_001}:
        raise BadArgument(f"{base} cannot be used", where="--base", hint="0, 1, 40000 or 40001")
    wanted = Wanted(name=_name_for(table, name, out), base=base, table=where, order=order)
    made = convert(table, wanted)
    for finding in made.findings:
        sys.stderr.write(f"{finding}\n")
    if made.text and out is not None:
        _write(out, made.text, force=force)
    elif made.text:
        sys.stdout.write(made.text)
    sys.stderr.write(
        f"{made.points} point(s), {made.left_out} row(s) left out / {made.points} điểm đo, bỏ {made.left_out} dòng\n"
    )
    if out is not None and made.text:
        sys.stderr.write(f"next / tiếp theo: gateway profile check {out}\n")
    raise typer.Exit(1 if made.left_out or not made.text else 0)


def _name_for(table: Path, name: str | None, out: Path | None) -> str:
    """The profile's name is its file's: of -o, or else of the table."""
    from config.cells import key_of

    chosen = name or (out.stem if out is not None else key_of(table.stem).replace("_", "-"))
    if not _NAME.fullmatch(chosen):
        hint = f"--name {key_of(chosen).replace('_', '-') or 'my-meter'}"
        raise BadArgument(f"{chosen!r} is no name: small letters, digits and hyphens", where="--name", hint=hint)
    if out is not None and out.name != f"{chosen}.yaml":
        raise BadArgument(
            f"a profile is called like its file: {out.name} is not {chosen}.yaml", where="-o", hint=f"-o {chosen}.yaml"
        )
    return chosen


def _write(out: Path, text: str, *, force: bool) -> None:
    if out.exists() and not force:
        raise BadArgument(f"{out} is there already", where="-o", hint="another name, or --force")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(text, encoding="utf-8")
    except OSError as error:
        raise BadArgument(f"{out} cannot be written: {error.strerror}", where="-o", hint="another folder") from error


def try_(
    profile: Annotated[str, typer.Argument(help="Name of a profile, or its file. / Tên hoặc tệp hồ sơ.")],
    *,
    port: Annotated[
        str | None, typer.Option(help="Serial port; with --host its TCP port. / Cổng nối tiếp hoặc cổng TCP.")
    ] = None,
    host: Annotated[str | None, typer.Option(help="Address of the device or broker. / Địa chỉ mạng.")] = None,
    url: Annotated[str | None, typer.Option(help="For HTTP: http://192.168.1.40. / Địa chỉ web.")] = None,
    unit: Annotated[int | None, typer.Option(min=0, max=247, help="Modbus unit number. / Địa chỉ Modbus.")] = None,
    address: Annotated[str | None, typer.Option(help="Its name in topics, requests or files. / Mã thiết bị.")] = None,
    pin: Annotated[int | None, typer.Option(min=0, help="Input pin. / Chân tín hiệu.")] = None,
    chip: Annotated[str | None, typer.Option(help="Chip of the pin. / Chip của chân.")] = None,
    folder: Annotated[str | None, typer.Option(help="Folder of TT10 files. / Thư mục tệp TT10.")] = None,
    baud: Annotated[int | None, typer.Option(help="9600 if not said. / Tốc độ.")] = None,
    parity: Annotated[str | None, typer.Option(help="none, even or odd. / Chẵn lẻ.")] = None,
    timeout: Annotated[float | None, typer.Option(help="Seconds to wait for an answer. / Thời gian chờ.")] = None,
    listen: Annotated[str, typer.Option(help="How long to listen to what talks by itself. / Thời gian nghe.")] = "20s",
    as_json: Annotated[bool, _JSON] = False,
) -> None:
    """Read a device once by a profile, without a site file. / Đọc thử thiết bị theo hồ sơ.

    Shows raw registers beside values: compare them with the device's own display. Writes nothing to the device.
    """
    from gateway.cli.read_view import as_dict, print_answers

    found = _profile(profile)
    options = {
        "port": port, "host": host, "url": url, "chip": chip, "folder": folder, "baud": baud, "parity": parity,
        "timeout_s": timeout,
    }  # fmt: skip
    device = {"unit": unit, "address": address, "pin": pin}
    answers = asyncio.run(_try(found, options, device, seconds(listen, "--listen")))
    if as_json:
        print_json(as_dict(answers, raw=True))
    else:
        print_answers(answers, raw=True)
    if not any(answer.reading.value is not None for answer in answers.reads):
        raise typer.Exit(1)


async def _try(found: AnyProfile, options: dict[str, Any], device: dict[str, Any], listen_s: float) -> Any:
    import drivers
    from drivers.scan.ports import blamed
    from drivers.settings import SERIAL
    from gateway.cli.read import judged
    from gateway.model.clock import SystemClock
    from gateway.model.errors import LinkDown

    wire, settings = _temporary(found, options, {**device, "every_s": listen_s / 2})
    around = drivers.Surroundings(SystemClock(), Path.cwd())
    driver = drivers.build("try", wire, {"device": (settings, found)}, around)
    try:
        return await judged(driver, ("device", None), found, {})
    except LinkDown as error:
        raise (blamed(error, Path.cwd() / wire.port) if isinstance(wire, SERIAL) else error) from error


def _temporary(found: AnyProfile, options: dict[str, Any], device: dict[str, Any]) -> tuple[Any, Any]:
    """A wire and a device as a site file would have them. Raises BadArgument for what does not fit together."""
    from pydantic import TypeAdapter, ValidationError

    from drivers.settings import DeviceSettings, WireSettings

    kinds = sorted(found.WIRES)
    kind = next((k for k in kinds if k == "modbus_tcp"), kinds[0]) if options["host"] else kinds[0]
    given = {key: value for key, value in options.items() if value is not None}
    if "host" in given and "port" in given:
        given["port"] = int(given["port"]) if str(given["port"]).isdecimal() else given["port"]
    named = {key: value for key, value in device.items() if value is not None}
    try:
        wire: Any = TypeAdapter(WireSettings).validate_python({"kind": kind, **given})
        if wire.TELLS_APART is not None and wire.TELLS_APART not in named:
            raise BadArgument(
                f"devices on such a wire are told apart by their {wire.TELLS_APART}", where=found.profile,
                hint=f"add --{wire.TELLS_APART}",
            )  # fmt: skip
        return wire, DeviceSettings.model_validate({"profile": found.profile, "wire": "try", **named})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        option = str(first["loc"][-1]).removesuffix("_s")
        what = {"missing": "is needed", "extra_forbidden": "does not belong to such a device"}.get(first["type"])
        raise BadArgument(
            f"--{option} {what or first['msg']}", where=f"{found.profile} ({kind})", hint="gateway profile try --help"
        ) from error


def _profile(name: str) -> AnyProfile:
    """By name, here or among our own, or by file. Raises BadArgument."""
    from config.profiles import Shelf, read_profile

    if name.endswith((".yaml", ".yml")) or "/" in name:
        found, findings = read_profile(Path(name))
        where = name
    else:
        shelf = Shelf(Path.cwd())
        if not shelf.knows(name):
            hint = shelf.hint(name) or "gateway profile list"
            raise BadArgument(f"there is no profile {name!r}", where="PROFILE", hint=hint)
        found, findings, where = shelf.profile(name), shelf.findings(), str(shelf.files()[name])
    if found is None:
        raise BadArgument(f"this profile has errors: {findings[0]}", where=where, hint=f"gateway profile check {where}")
    return found
