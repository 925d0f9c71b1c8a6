"""What the cells of a register table mean: addresses, types, scales, units, as makers print them, in English or
Vietnamese. Each function raises ValueError with what is wrong with the cell."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, replace
from typing import Final

from drivers.profiles import Order, Table
from drivers.profiles.modbus import WORDS, Type

COLUMNS: Final[dict[str, frozenset[str]]] = {
    column: frozenset(words.split("|"))
    for column, words in {
        "address": "address|addr|register|reg|register address|reg address|modbus address|start address|register no"
        "|reg no|register number|dia chi|dia chi thanh ghi|dia chi modbus|thanh ghi|hex address|dec address|at",
        "name": "name|parameter|parameter name|description|point|tag|tag name|signal|variable|quantity|name en|english"
        "|register name|measurement"
        "|ten|ten diem|ten diem do|ten thong so|thong so|dai luong|mo ta|ten bien|ten thanh ghi",
        "name_vi": "name vi|vietnamese|ten tieng viet|tieng viet|ten vi",
        "type": "type|data type|datatype|format|data format|kieu|kieu du lieu|dinh dang|kieu so lieu",
        "unit": "unit|units|engineering unit|eng unit|don vi|dvt|don vi do|don vi tinh",
        "scale": "scale|scaling|scale factor|factor|multiplier|gain|coefficient|he so|he so nhan|ty le|he so ty le"
        "|resolution|do phan giai",
        "divisor": "divisor|divider|div|he so chia|so chia|chia",
        "offset": "offset|do lech|bu|bu tru",
        "table": "table|function|function code|fc|func|fun code|register type|reg type|object type|area|modbus function"
        "|read function|ma ham|ham|ma lenh|loai thanh ghi|vung|bang",
        "length": "length|len|count|registers|no of registers|number of registers|size|words|qty|register count"
        "|so thanh ghi|do dai|so luong|so luong thanh ghi",
        "order": "order|byte order|word order|endian|endianness|thu tu|thu tu byte|thu tu tu",
        "range": "range|valid range|dai do|pham vi|dai gia tri|khoang do",
        "low": "min|minimum|low|lower limit|nho nhat|toi thieu|gioi han duoi",
        "high": "max|maximum|high|upper limit|lon nhat|toi da|gioi han tren",
        "bit": "bit|bit no|bit number",
        "indicator": "indicator|chi so|ma chi so",
        "raw": "raw|example raw|raw value|example registers|raw hex|vi du thanh ghi|du lieu tho|gia tri tho|vi du tho",
        "value": "value|example value|example|display|displayed value|gia tri|vi du|gia tri vi du|gia tri hien thi",
    }.items()
}  # fmt: skip
_REFERENCE: Final[dict[str, Table]] = {"0": "coil", "1": "discrete", "3": "input", "4": "holding"}
_TABLES: Final[tuple[tuple[str, Table], ...]] = (
    (r"discrete|tiep diem|di\b|\b0?x?0*2\b|\b1x", "discrete"),
    (r"coil|cuon|\bdo\b|\b0?x?0*1\b|\b0x$", "coil"),
    (r"holding|thanh ghi giu|\bhr?\b|\b0?x?0*3\b|\b4x|\b4xxxx", "holding"),
    (r"input|thanh ghi vao|\bir\b|\b0?x?0*4\b|\b3x", "input"),
)
_ORDERS: Final[tuple[tuple[str, Order], ...]] = (
    (r"\bcdab\b|word swap|swapped|\bswap\b|low word first|lsw first|little endian word|dao tu", "cdab"),
    (r"\bbadc\b|byte swap|dao byte", "badc"),
    (r"\bdcba\b|little endian|\ble\b", "dcba"),
    (r"\babcd\b|big endian|msw first|high word first|\bbe\b", "abcd"),
)
_TYPES: Final[tuple[tuple[str, str, int], ...]] = (
    (r"str|ascii|text|char", "text", 0),
    (r"bcd", "bcd", 16),
    (r"^(?!.*(?:16|32|64)).*(?:bool|\bbit\b|binary|coil|on/off)", "bool", 0),
    (r"double|lreal|float ?64", "f", 64),
    (r"float|real|ieee|single|\bf ?(?:32|64)|thuc", "f", 32),
    (r"qword", "u", 64),
    (r"unsigned long|\b(?:dword|udint|ulong)\b", "u", 32),
    (r"\b(?:dint|long)\b", "i", 32),
    (r"unsigned|uint|ushort|word|\bu ?(?:16|32|64)?\b|khong dau", "u", 16),
    (r"signed|int|short|\b[is] ?(?:16|32|64)\b|co dau|nguyen", "i", 16),
)
"""Words in a type, what it is then, and its least number of bits; the first that fits counts."""
_UNITS: Final[dict[str, str]] = {
    "": "1", "-": "1", "1": "1", "c": "Cel", "oc": "Cel", "degc": "Cel", "deg c": "Cel", "do c": "Cel", "cel": "Cel",
    "%": "%", "%rh": "%", "rh%": "%", "rh": "%", "v": "V", "mv": "mV", "kv": "kV", "a": "A", "ma": "mA", "w": "W",
    "kw": "kW", "mw": "MW", "va": "V.A", "kva": "kV.A", "var": "V.A{reactive}", "kvar": "kV.A{reactive}",
    "wh": "W.h", "kwh": "kW.h",
    "mwh": "MW.h", "varh": "V.A{reactive}.h", "kvarh": "kV.A{reactive}.h", "kvah": "kV.A.h", "hz": "Hz", "mm": "mm",
    "cm": "cm", "m": "m",
    "km": "km", "m3": "m3", "l": "L", "m3/h": "m3/h", "m3/s": "m3/s", "l/s": "L/s", "l/h": "L/h", "l/min": "L/min",
    "m/s": "m/s", "km/h": "km/h", "mm/h": "mm/h", "ug/m3": "ug/m3", "mg/m3": "mg/m3", "mg/l": "mg/L", "ug/l": "ug/L",
    "ppm": "[ppm]", "ppb": "[ppb]", "ph": "[pH]", "ntu": "{NTU}", "us/cm": "uS/cm", "ms/cm": "mS/cm", "lux": "lx",
    "lx": "lx", "db": "dB", "dba": "dB{A}", "hpa": "hPa", "kpa": "kPa", "pa": "Pa", "mpa": "MPa", "bar": "bar",
    "mbar": "mbar", "deg": "deg", "do": "deg", "s": "s", "sec": "s", "giay": "s", "min": "min", "phut": "min",
    "h": "h", "gio": "h", "w/m2": "W/m2", "rpm": "/min",
}  # fmt: skip
_CASED: Final = {"°": "deg", "º": "deg", "mW": "mW", "MW": "MW", "mV": "mV", "MV": "MV", "mPa": "mPa"}
_NUMBER: Final = r"[-+]?(?:[0-9]+(?:[.,][0-9]+)?|[.,][0-9]+)(?:e[-+]?[0-9]+)?"


def bare(text: str) -> str:
    """Without diacritics: "Điện áp" gives "Dien ap"."""
    flat = unicodedata.normalize("NFKD", text.replace("đ", "d").replace("Đ", "D"))
    return "".join(c for c in flat if not unicodedata.combining(c))


def plain(text: str) -> str:
    """Small letters and digits without diacritics, one space between words: how headings and types are compared."""
    return " ".join(re.sub(r"[^a-z0-9%/.]+", " ", bare(text).lower()).split())


def column_of(heading: str) -> str | None:
    """Which column this is, by its heading; what stands in brackets counts only if nothing else is known."""
    outside = plain(re.sub(r"\([^)]*\)|\[[^]]*\]", " ", heading)).replace(".", "").strip()
    for text in (outside, plain(heading).replace(".", "")):
        for column, known in COLUMNS.items():
            if text in known:
                return column
    return None


def key_of(name: str) -> str:
    """The name of a point: "Điện áp pha L1" gives dien_ap_pha_l1."""
    words = re.sub(r"[^a-z0-9]+", "_", plain(name)).strip("_")
    return words if len(words) <= 40 else words[:40].rpartition("_")[0] or words[:40]


@dataclass(frozen=True, slots=True)
class Place:
    """at: as the map counts. table: if the address itself says it. length: if it names a first and a last one."""

    at: int
    table: Table | None = None
    length: int | None = None
    bit: int | None = None


def place(text: str, *, base: int | None, hexadecimal: bool = False) -> Place:
    """An address as 12, 0x10, 10h, 40001, 4x0001, 40001.3 or 40001-40002.

    base None: five and six digits that begin with 0, 1, 3 or 4 name the table, and 40001 is register 0. base 0 or 1:
    numbers are addresses counted from there. base 40000 or 40001: what the table prints for the first register.
    """
    cell = text.strip().replace(" ", "")
    parts = re.split(r"-|–|~|\.\.+|÷|to", cell, maxsplit=1)
    bit = re.fullmatch(r"(.+?)[.:]([0-9]{1,2})", parts[0]) if len(parts) == 1 else None
    first = _address(bit[1] if bit else parts[0], base, hexadecimal)
    if bit is not None:
        if int(bit[2]) > 15:
            raise ValueError(f"bit {bit[2]} is not one of 0 to 15")
        return replace(first, bit=int(bit[2]))
    if len(parts) == 1:
        return first
    length = _address(parts[1], base, hexadecimal).at - first.at + 1
    if not 1 <= length <= 125:
        raise ValueError(f"{text!r} is no range of addresses")
    return replace(first, length=length)


def _address(cell: str, base: int | None, hexadecimal: bool) -> Place:
    reference = re.fullmatch(r"([0134])x([0-9]{1,5})", cell, re.IGNORECASE)
    if reference is not None and (reference[1] != "0" or re.fullmatch(r"0x[0-9]{5}", cell)):
        return _referred(reference[1], int(reference[2]), base)
    if match := re.fullmatch(r"0x([0-9a-f]{1,4})|([0-9a-f]{1,4})h|h'?([0-9a-f]{1,4})'?", cell, re.IGNORECASE):
        return _within(int(match[1] or match[2] or match[3], 16))
    if hexadecimal and re.fullmatch(r"[0-9a-f]{1,4}", cell, re.IGNORECASE):
        return _within(int(cell, 16))
    if not re.fullmatch(r"[0-9]{1,6}", cell):
        raise ValueError(f"{cell!r} is no address")
    if len(cell) >= 5 and cell[0] in _REFERENCE and base not in {0, 1}:
        return _referred(cell[0], int(cell[1:]), base)
    return _within(int(cell))


def _referred(first: str, number: int, base: int | None) -> Place:
    counted = number - (0 if base == 40_000 else 1) + (1 if base == 1 else 0)
    if counted < 0:
        raise ValueError(f"{first}{number:04d} is below the first register; try --base 40000")
    return replace(_within(counted), table=_REFERENCE[first])


def _within(at: int) -> Place:
    if at > 0xFFFF:
        raise ValueError(f"{at} is above the last address, 65535")
    return Place(at)


def table(text: str) -> Table:
    """ "03", "FC4", "Holding register", "thanh ghi giữ". Where several functions are named, the one that reads."""
    words = re.sub(r"^(?:fc|function|func|ham|f)\s*(?=[0-9])", "", plain(text).replace("/", " "))
    for pattern, found in _TABLES:
        if re.search(pattern, words):
            return found
    raise ValueError(f"{text!r} names no table or function code")


def order(text: str) -> Order | None:
    words = plain(text.replace("-", " ").replace("_", " "))
    return next((found for pattern, found in _ORDERS if re.search(pattern, words)), None)


def type_of(text: str, length: int | None) -> Type:
    """ "INT16", "32-bit float", "Unsigned long". `length`: registers, where the table says so."""
    words = plain(text.replace("-", " ").replace("_", " "))
    for pattern, _ in _ORDERS:
        words = re.sub(pattern, " ", words)
    words = " ".join(words.split())
    bits = int(match[1]) if (match := re.search(r"(16|32|64)", words)) else 16 * length if length else 0
    found = next(
        (
            f"{name}{max(bits, least) or ''}" if least else name
            for pattern, name, least in _TYPES
            if re.search(pattern, words)
        ),
        "",
    )
    if found not in WORDS and found != "text":
        raise ValueError(f"{text!r} is no type that can be read")
    if length and found != "text" and length != WORDS[found]:
        raise ValueError(f"{text!r} takes {WORDS[found]} register(s), the table says {length}")
    return found  # type: ignore[return-value]  # it is a key of WORDS, or text


def number(text: str) -> float:
    """ "0.1", "0,1", "1e-3"."""
    cell = text.strip().lower()
    if not re.fullmatch(_NUMBER, cell):
        raise ValueError(f"{text!r} is no number")
    return float(cell.replace(",", "."))


def scale(text: str) -> float:
    """ "0.1", "x0.1", "*10", "/10", "1/10", "10^-2", "0.1 V"."""
    cell = text.strip().lower().replace(" ", "").replace("×", "x").replace("÷", "/")
    if power := re.fullmatch(r"[x*]?10\^?\(?(-[0-9])\)?", cell):
        return float(10 ** int(power[1])) if int(power[1]) >= 0 else 1 / 10 ** -int(power[1])
    match = re.match(rf"[x*=]?({_NUMBER})?(?:/({_NUMBER}))?", cell)
    if (
        match is None
        or (match[1] is None and match[2] is None)
        or not re.fullmatch(r"[a-z%°³µ./]*", cell[match.end() :])
    ):
        raise ValueError(f"{text!r} is no scale")
    found = number(match[1] or "1") / number(match[2] or "1") if match[2] is None or number(match[2]) else 0.0
    if found == 0:
        raise ValueError("a scale of 0 leaves nothing")
    return found


def span(text: str) -> tuple[float, float]:
    """ "0..100", "-40 ~ 80", "0-300 V"."""
    match = re.match(rf"\s*({_NUMBER})\s*(?:\.\.+|~|–|÷|to|đến|-|;)\s*({_NUMBER})", text.lower())
    if match is None or number(match[1]) >= number(match[2]):
        raise ValueError(f"{text!r} is no range")
    return number(match[1]), number(match[2])


def unit(text: str) -> tuple[str, bool]:
    """The UCUM code, and whether the unit was known; an unknown one is kept without its spaces."""
    flat = text.strip().replace("³", "3").replace("²", "2").replace("µ", "u").replace("μ", "u").replace("°", "")
    key = plain(flat) if flat not in {"-", ""} else flat
    if (case := text.strip()) in _CASED:
        return _CASED[case], True
    for one in (key, key.replace(" ", "")):
        if one in _UNITS:
            return _UNITS[one], True
    return "".join(flat.split()) or "1", False


def registers(text: str, words: int, *, hexadecimal: bool = False) -> list[int]:
    """ "0x4366 0x6666", "4366 6666" (hex where the column is), "17254, 26214"; one number may fill all registers."""
    tokens = [token for token in re.split(r"[\s,;]+", text.strip()) if token]
    found = []
    for token in tokens:
        match = re.fullmatch(r"0x([0-9a-f]+)|([0-9a-f]+)h", token, re.IGNORECASE)
        digits = (match[1] or match[2]) if match else token
        sixteen = match is not None or hexadecimal
        if not re.fullmatch(r"[0-9a-f]+" if sixteen else r"[0-9]+", digits, re.IGNORECASE):
            raise ValueError(f"{token!r} is no register")
        found.append(int(digits, 16 if sixteen else 10))
    if len(found) == 1 and words > 1 and found[0] < 1 << 16 * words:
        found = [found[0] >> 16 * n & 0xFFFF for n in reversed(range(words))]
    if len(found) != words or any(word > 0xFFFF for word in found):
        raise ValueError(f"{text!r} is not {words} register(s)")
    return found
