"""Adapter of this gateway for the comparison rig (GATEWAY_BENCH_RIG); see rig.py, which puts it into place.

Variants: `edge_gateway` commits once a second, as in the field; `edge_gateway:fast` commits and flushes at once,
to show what the path itself costs.
"""

import json
import sys
import time
import uuid
from pathlib import Path

from . import Base

COMMIT_S = {"": 1.0, "fast": 0.005}
FLUSH_S = {"": 1.0, "fast": 0.0}


class Adapter(Base):
    topics = ("ioc/v1/+/tele/+",)

    def version(self):
        from gateway import __version__

        return __version__

    def configure(self, workdir, load):
        wires, names = {}, {}
        for device in load.devices:
            name = names.setdefault((device.host, device.port), f"bus{len(names)}")
            wires[name] = {
                "kind": "modbus_tcp", "host": device.host, "port": device.port, "timeout_s": load.timeout_s,
            }  # fmt: skip
        site = {
            "gateway": "38-bench-01",
            "site": "bench",
            "place": {"province": "38", "commune": "14797", "lat": 19.8, "lon": 105.77},
            "state_dir": "state",
            "clock": "trusted",
            "uplink": {"host": "127.0.0.1", "port": load.broker_port, "flush_every_s": FLUSH_S[self.variant]},
            "buffer": {"commit_every_s": COMMIT_S[self.variant]},
            "wires": wires,
            "devices": {
                d.name: {
                    "profile": "bench", "wire": names[d.host, d.port], "unit": d.unit, "every_s": load.period_s,
                }
                for d in load.devices
            },
            "commands": {
                "allow": [{"from": "bench", "ops": ["point.set"], "to": ["*"]}], "max_per_minute": 6000,
            },
        }  # fmt: skip
        points = {
            f"r{n}": {
                "name_en": f"Register {n}", "name_vi": f"Thanh ghi {n}", "indicator": "bench.register", "unit": "1",
                "table": "holding", "at": n, "type": "u16", "kind": "last", "forward": "every",
                "write": {"within_s": 0.5, "tolerance": 65535},
            }
            for n in range(load.registers)
        }  # fmt: skip
        profile = {
            "profile": "bench", "title_en": "Bench device", "title_vi": "Thiết bị đo thử", "driver": "modbus",
            "source": "comparison rig", "confirmed": True, "url": "https://example.invalid/map", "points": points,
            "examples": [{"given": {"holding": {"0": [1]}}, "expect": {"r0": 1}}],
        }  # fmt: skip
        (workdir / "devices").mkdir()
        # JSON is YAML, but for the integer key of the example.
        text = json.dumps(profile, ensure_ascii=False, indent=1).replace('"0": [', "0: [")
        (workdir / "devices" / "bench.yaml").write_text(text, encoding="utf-8")
        (workdir / "site.yaml").write_text(json.dumps(site, indent=1), encoding="utf-8")

    def command(self, workdir):
        return [str(Path(sys.executable).with_name("gateway")), "run", "site.yaml"], {}

    def parse(self, topic, payload):
        for record in json.loads(payload)["m"]:
            if record["v"] is not None and "/r" in record["pt"]:
                device, _, register = record["pt"].partition("/r")
                yield device, int(register), record["v"]

    def write(self, device, address, value):
        command = {
            "s": "cmd/1", "id": uuid.uuid4().hex, "gw": "38-bench-01", "iss": "bench",
            "iat": int(time.time() * 1000), "ttl": 30, "op": "point.set", "to": [f"{device}/r{address}"],
            "arg": {"value": value},
        }  # fmt: skip
        return "ioc/v1/38-bench-01/cmd/req", json.dumps(command)
