"""gateway place: codes of provinces and communes, by name or by code."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.cli.output import print_json
from gateway.model.errors import BadArgument

if TYPE_CHECKING:
    from config.places import Commune, Gazetteer, Province

_JSON = typer.Option("--json", help="JSON for programs. / Xuất JSON.")
_SHOWN = 40


def find(
    text: Annotated[str, typer.Argument(help='Part of a name, accents or not: "hac thanh". / Tên cần tìm.')],
    province: Annotated[
        str | None, typer.Option("--province", "-p", help="Only in it: code or name. / Chỉ trong tỉnh này.")
    ] = None,
    as_json: Annotated[bool, _JSON] = False,
) -> None:
    """Find the code of a province or commune by name. / Tìm mã tỉnh, mã xã phường theo tên.

    Case, accents, spaces and order do not matter. Exit code 1 if nothing is found.
    """
    from config import places

    list_ = places.gazetteer()
    within = None if province is None else _province(list_, province)
    found = list_.search(text, within)
    if as_json:
        print_json({"list": places.version(), "found": [_as_dict(list_, unit) for unit in found]})
    elif found:
        _print(list_, found)
        print(f"{len(found)} found / tìm thấy {len(found)}; {places.version()}")
    else:
        _nothing(list_, text, within)
    raise typer.Exit(0 if found else 1)


def show(
    code: Annotated[str, typer.Argument(help="38 for a province, 14797 for a commune. / Mã tỉnh hoặc mã xã.")],
    as_json: Annotated[bool, _JSON] = False,
) -> None:
    """Show what a code names, and the line for a site file. / Xem mã hành chính là nơi nào.

    Exit code 1 if the list does not know the code.
    """
    from config import places

    if not code.isdecimal() or len(code) not in {2, 5}:
        hint = "two digits for a province, five for a commune, with their zeros; by name: gateway place find"
        raise BadArgument(f"{code!r} is no code", where="CODE", hint=hint)
    list_ = places.gazetteer()
    unit = list_.provinces.get(code) or list_.communes.get(code)
    if unit is None:
        typer.echo(
            f'"{code}" is not in / không có trong {places.version()}\n'
            "    unknown, dissolved in 2025, or newer / sai, đã giải thể năm 2025, hoặc mới hơn\n"
            "    gateway place find NAME / TÊN",
            err=True,
        )
        raise typer.Exit(1)
    if as_json:
        print_json({"list": places.version(), **_as_dict(list_, unit)})
    else:
        _page(list_, unit)


def _province(list_: Gazetteer, text: str) -> str:
    """The code of a province given by code or name."""
    from config.places import Province

    if text in list_.provinces:
        return text
    found = [unit for unit in list_.search(text) if isinstance(unit, Province)]
    if len(found) != 1:
        names = ", ".join(f"{unit.name} {unit.code}" for unit in found)
        what = f"several provinces are called like {text!r}" if found else f"there is no province {text!r}"
        raise BadArgument(what, where="--province", hint=names or "since 2025-07-01 there are 34; try without it")
    return found[0].code


def _print(list_: Gazetteer, found: list[Province | Commune]) -> None:
    for unit in found[:_SHOWN]:
        print(f"{unit.code:5}  {list_.full_name(unit)}")
    if len(found) > _SHOWN:
        print(f"... {len(found) - _SHOWN} more / còn {len(found) - _SHOWN}: --province")


def _nothing(list_: Gazetteer, text: str, within: str | None) -> None:
    typer.echo(f"nothing is called like / không tìm thấy: {text}", err=True)
    near = list_.near(text, within)
    if near:
        typer.echo("did you mean / có phải:", err=True)
        for unit in near:
            typer.echo(f"    {unit.code:5}  {list_.full_name(unit)}", err=True)
    typer.echo(
        "Districts and joined communes are gone since 2025-07-01: try the new name.\n"
        "Từ 01/07/2025 không còn cấp huyện, nhiều xã đã sáp nhập: hãy tìm theo tên mới.",
        err=True,
    )


def _as_dict(list_: Gazetteer, unit: Province | Commune) -> dict[str, Any]:
    content = unit._asdict()
    if "province" in content:
        content["province_name"] = list_.provinces[content["province"]].name
    return content


def _page(list_: Gazetteer, unit: Province | Commune) -> None:
    from config import places

    print(f"{unit.code}  {list_.full_name(unit)}")
    if isinstance(unit, places.Commune):
        print(f'place: {{province: "{unit.province}", commune: "{unit.code}", lat: LAT, lon: LON}}')
    else:
        count = sum(commune.province == unit.code for commune in list_.communes.values())
        print(f"{count} communes / {count} xã, phường, đặc khu")
        found = places.bounds(unit.code)
        for west, south, east, north in found.boxes if found is not None else ():
            print(f"lat {south:g} to/đến {north:g}, lon {west:g} to/đến {east:g}")
    print(f"({places.version()})")
