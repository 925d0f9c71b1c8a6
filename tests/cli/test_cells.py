"""What makers print into their register tables, and what it means."""

from __future__ import annotations

from pathlib import Path

import pytest

from config import cells
from config.cells import Place
from config.register_table import Wanted, convert


@pytest.mark.parametrize(
    ("text", "base", "place"),
    [
        ("12", None, Place(12)),
        ("0x10", None, Place(16)),
        ("10h", None, Place(16)),
        ("40001", None, Place(0, "holding")),
        ("30010", None, Place(9, "input")),
        ("400123", None, Place(122, "holding")),
        ("4x0001", None, Place(0, "holding")),
        ("1X0005", None, Place(4, "discrete")),
        ("00001", None, Place(0, "coil")),
        ("40001-40002", None, Place(0, "holding", length=2)),
        ("0x10..0x13", None, Place(16, length=4)),
        ("40009.3", None, Place(8, "holding", bit=3)),
        ("40069", 0, Place(40069)),
        ("1", 1, Place(1)),
        ("4x0001", 1, Place(1, "holding")),
        ("40000", 40_000, Place(0, "holding")),
    ],
)
def test_addresses_as_manuals_print_them(text: str, base: int | None, place: Place) -> None:
    assert cells.place(text, base=base) == place


@pytest.mark.parametrize("text", ["", "abc", "70000", "40001.16", "40000", "5-3", "-1"])
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        cells.place(text, base=None)


@pytest.mark.parametrize(
    ("text", "length", "kind", "order"),
    [
        ("INT16", None, "i16", None),
        ("uint16_t", None, "u16", None),
        ("S32", None, "i32", None),
        ("UINT", 2, "u32", None),
        ("32-bit float", None, "f32", None),
        ("FLOAT (word swapped)", 2, "f32", "cdab"),
        ("U32 CDAB", None, "u32", "cdab"),
        ("float32 little-endian", None, "f32", "dcba"),
        ("Double", None, "f64", None),
        ("unsigned long", None, "u32", None),
        ("DWORD", None, "u32", None),
        ("WORD", None, "u16", None),
        ("Unsigned 16 bit", None, "u16", None),
        ("BIT", None, "bool", None),
        ("BCD", 2, "bcd32", None),
        ("ASCII", 8, "text", None),
        ("Số thực 32 bit", None, "f32", None),
        ("Nguyên có dấu 16 bit", None, "i16", None),
        ("Nguyên không dấu 32 bit", None, "u32", None),
    ],
)
def test_types_as_manuals_print_them(text: str, length: int | None, kind: str, order: str | None) -> None:
    assert (cells.type_of(text, length), cells.order(text)) == (kind, order)


@pytest.mark.parametrize(("text", "length"), [("widget", None), ("float", 1), ("int32", 1), ("", None)])
def test_what_is_no_type(text: str, length: int | None) -> None:
    with pytest.raises(ValueError, match=r"."):
        cells.type_of(text, length)


@pytest.mark.parametrize(
    ("text", "table"),
    [
        ("03", "holding"),
        ("FC4", "input"),
        ("0x02", "discrete"),
        ("03/06", "holding"),
        ("hàm 3", "holding"),
        ("Input register", "input"),
        ("Discrete input", "discrete"),
        ("Coil", "coil"),
        ("thanh ghi giữ", "holding"),
    ],
)
def test_tables_and_function_codes(text: str, table: str) -> None:
    assert cells.table(text) == table


@pytest.mark.parametrize(
    ("text", "scale"),
    [("0.1", 0.1), ("0,01", 0.01), ("x0.1", 0.1), ("/10", 0.1), ("1/1000", 0.001), ("10^-2", 0.01), ("×0.5 V", 0.5)],
)
def test_scales(text: str, scale: float) -> None:
    assert cells.scale(text) == pytest.approx(scale)


@pytest.mark.parametrize("text", ["ten", "0", "/0", "1.2.3"])
def test_what_is_no_scale(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        cells.scale(text)


@pytest.mark.parametrize(
    ("text", "unit"),
    [
        ("°C", "Cel"),
        ("kWh", "kW.h"),
        ("µg/m³", "ug/m3"),
        ("%RH", "%"),
        ("", "1"),
        ("mW", "mW"),
        ("MW", "MW"),
        ("°", "deg"),
    ],
)
def test_units_become_ucum(text: str, unit: str) -> None:
    assert cells.unit(text) == (unit, True)


@pytest.mark.parametrize(
    ("heading", "column"),
    [
        ("Địa chỉ", "address"),
        ("Address (hex)", "address"),
        ("Register No.", "address"),
        ("TÊN THÔNG SỐ", "name"),
        ("Kiểu dữ liệu", "type"),
        ("Đơn vị [đv]", "unit"),
        ("Hệ số", "scale"),
        ("Function code", "table"),
        ("Ghi chú", None),
    ],
)
def test_headings_in_both_languages(heading: str, column: str | None) -> None:
    assert cells.column_of(heading) == column


@pytest.mark.parametrize(
    ("text", "words", "registers"),
    [
        ("0x4366 0x6666", 2, [0x4366, 0x6666]),
        ("17254, 26214", 2, [17254, 26214]),
        ("48211", 1, [48211]),
        ("65537", 2, [1, 1]),
    ],
)
def test_example_registers(text: str, words: int, registers: list[int]) -> None:
    assert cells.registers(text, words) == registers


@pytest.mark.parametrize(("text", "words"), [("1 2", 1), ("70000", 1), ("x", 1)])
def test_what_are_no_registers(text: str, words: int) -> None:
    with pytest.raises(ValueError, match=r"."):
        cells.registers(text, words)


TABLE = "sep=;\naddress;tên;type;đơn vị\n\n1;Mức nước;i16;m\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("ends", ["\n", "\r\n"])
def test_what_spreadsheets_save_can_be_read(tmp_path: Path, encoding: str, ends: str) -> None:
    file = tmp_path / "table.csv"
    file.write_bytes(TABLE.replace("\n", ends).encode(encoding))
    made = convert(file, Wanted(name="it"))
    assert (made.points, made.left_out) == (1, 0)
    assert "name_vi: Mức nước" in made.text
    assert [finding.line for finding in made.findings] == [4]  # no column names the function


@pytest.mark.parametrize("content", ["tên;địa chỉ\n".encode("cp1258", "replace") + b"\xe9\xff\n", b"\0\1\2" * 9])
def test_what_is_no_text_is_said(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "table.csv"
    file.write_bytes(content)
    (finding,) = convert(file, Wanted(name="it")).findings
    assert finding.code == "not-readable"
    assert "CSV UTF-8" in finding.hint


@pytest.mark.parametrize(
    ("content", "what"),
    [
        ("", "empty"),
        ("address,name,type\n", "no register stands under the heading"),
        ('address,name\n1,"' + "x" * 200_000, "no CSV"),
    ],
)
def test_a_table_without_rows_says_why_nothing_was_made(tmp_path: Path, content: str, what: str) -> None:
    table = tmp_path / "t.csv"
    table.write_text(content, encoding="utf-8")
    made = convert(table, Wanted(name="t"))
    assert (made.text, len(made.findings)) == ("", 1)
    assert what in made.findings[0].message
    assert made.findings[0].hint


def test_a_table_from_an_old_spreadsheet_with_lone_carriage_returns_is_read(tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    table.write_bytes(b"address,name,type\r40001,Level,u16\r40002,Flow,u16\r")
    made = convert(table, Wanted(name="t"))
    assert (made.points, made.findings) == (2, [])
