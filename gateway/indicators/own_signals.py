"""What the gateway can measure of itself: its signals. Who composes the gateway says which of them there are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from gateway.model.measure import Kind, Signal

NAME: Final = "gateway"
EVERY_S: Final = 60.0
QUICK_S: Final = 300
SLOW_S: Final = 3600
"""What changes over days is worth a record an hour; its readings are held against limits every minute all the same."""


@dataclass(frozen=True, slots=True)
class Own:
    """What one of the gateway's own readings is."""

    unit: str
    window_s: int
    name_en: str
    name_vi: str
    kind: Kind = Kind.LAST


OWN: Final[Mapping[str, Own]] = {
    "gw.devices_online": Own("%", QUICK_S, "Devices online", "Tỷ lệ thiết bị trực tuyến", Kind.MEAN),
    "gw.backlog": Own("1", QUICK_S, "Records waiting to be sent", "Số bản ghi chờ gửi"),
    "gw.clock_synced": Own("1", QUICK_S, "Clock is synchronised", "Đồng hồ đã đồng bộ"),
    "gw.clock_offset": Own("s", SLOW_S, "Clock offset left to correct", "Sai lệch đồng hồ còn phải chỉnh"),
    "gw.disk_free": Own("%", SLOW_S, "Free disk space", "Dung lượng đĩa còn trống"),
    "gw.cert_days": Own("d", SLOW_S, "Days left of the certificate", "Số ngày còn hạn của chứng thư"),
    "gw.cpu_temp": Own("Cel", SLOW_S, "Processor temperature", "Nhiệt độ bộ xử lý", Kind.MAX),
    "gw.uptime": Own("h", SLOW_S, "Hours since the gateway started", "Số giờ từ khi gateway khởi động"),
    "gw.alarms_open": Own("1", QUICK_S, "Open alarms", "Số cảnh báo đang mở"),
    "ww.violation_open": Own("1", QUICK_S, "Open violations", "Số vi phạm đang mở"),
    "ww.violation_count_30d": Own("1", SLOW_S, "Violations in 30 days", "Số vi phạm trong 30 ngày"),
    "light.fault_open": Own("1", QUICK_S, "Open lighting faults", "Số sự cố chiếu sáng đang mở"),
    "light.fault_new": Own("1", SLOW_S, "New lighting faults in 24 hours", "Số sự cố chiếu sáng mới trong 24 giờ"),
    "light.fault_overdue": Own("1", SLOW_S, "Overdue lighting faults", "Số sự cố chiếu sáng quá hạn"),
    "light.repair_time": Own("h", SLOW_S, "Mean time to repair, 30 days", "Thời gian khắc phục trung bình 30 ngày"),
}


def signal_of(code: str, name: str = NAME, every_s: float = EVERY_S) -> Signal:
    """The signal of one of its codes. Raises KeyError."""
    own = OWN[code]
    point = f"{name}/{code.partition('.')[2]}"
    return Signal(
        id=point, point=point, indicator=code, unit=own.unit, kind=own.kind, every_s=every_s, window_s=own.window_s,
        name_en=own.name_en, name_vi=own.name_vi,
    )  # fmt: skip


def own_signals() -> list[Signal]:
    """All of them."""
    return [signal_of(code) for code in OWN]
