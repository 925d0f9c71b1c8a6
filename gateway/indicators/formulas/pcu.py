"""Passenger car units: how much road a vehicle takes. A named, versioned table for each road; none is built in.

The tables that ship lie in config/indicators/pcu.yaml, and all of them are from memory until somebody held them against
the standard. Configuration puts the table a site names in the place of its name (`resolve`): nothing here opens a file.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from gateway.indicators.formula import Params

Factor = Annotated[float, Field(gt=0, le=20)]


class PcuTable(BaseModel):
    """One table. `factors` by class of vehicle as the camera or loop names it."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$", max_length=40, description="tcvn-4054-2005-flat")
    version: str = Field("1", max_length=20, description="Goes up when a factor changes.")
    title_en: str = Field("", max_length=120)
    title_vi: str = Field("", max_length=120)
    basis: str = Field("", description="Where the factors are from.")
    confirmed: bool = Field(False, description="true: the factors were held against their source.")
    factors: Mapping[str, Factor] = Field(min_length=1, description="PCU of one vehicle: {motorcycle: 0.3, car: 1}")


class PcuTables(BaseModel):
    """pcu.yaml"""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    pcu_tables: tuple[PcuTable, ...] = Field(min_length=1)


class PcuParams(Params):
    table: PcuTable | str = Field(
        "tcvn-4054-2005-flat",
        description="Name of a table that ships (config/indicators/pcu.yaml), or a table of the site's own.",
    )
    confirmed: bool = Field(False, description="true: the named table was held against its standard by the operator.")


def resolve(settings: Mapping[str, Any], tables: PcuTables) -> dict[str, Any]:
    """What a site told the formula, with the table it names instead of its name. A name that is none stays; the formula
    then says so. To be called where parameters are filled from other files."""
    name = settings.get("table", PcuParams().table)
    found = next((table for table in tables.pcu_tables if table.name == name), None)
    return dict(settings) if found is None else {**settings, "table": found.model_dump()}


def units(counts: Mapping[str, float], factors: Mapping[str, float]) -> tuple[float, dict[str, float]]:
    """The PCU of these counts by class, and the counts of classes the table does not have."""
    pcu = sum(n * factors[cls] for cls, n in counts.items() if cls in factors)
    return pcu, {cls: n for cls, n in counts.items() if cls not in factors and n}
