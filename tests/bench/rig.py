"""Runs the comparison rig with this gateway as the system under test; by hand, never in the suite.

    GATEWAY_BENCH_RIG=../shared/bench .venv/bin/python tests/bench/rig.py [:fast] [scenario ...] [--rig-option ...]

The rig is copied to a temporary folder together with our adapter (edge_gateway.py); the results stay in
`run/bench/`. Needs mosquitto on PATH.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]


def main() -> int:
    rig = Path(os.environ.get("GATEWAY_BENCH_RIG", ROOT.parent / "shared" / "bench"))
    if not (rig / "run.py").is_file():
        print(f"no rig at {rig}; set GATEWAY_BENCH_RIG", file=sys.stderr)
        return 2
    arguments = sys.argv[1:]
    variant = arguments.pop(0) if arguments and arguments[0].startswith(":") else ""
    results = ROOT / "run" / "bench"
    results.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="rig-") as folder:
        shutil.copytree(rig, folder, dirs_exist_ok=True)
        for path in Path(folder).rglob("*"):
            path.chmod(0o755 if path.is_dir() else 0o644)
        shutil.copy(HERE / "edge_gateway.py", Path(folder) / "adapters")
        mosquitto = shutil.which("mosquitto", path=os.environ["PATH"] + ":/usr/sbin") or "mosquitto"
        command = [sys.executable, "run.py", f"edge_gateway{variant}", *arguments,
                   "--out", str(results), "--mosquitto", mosquitto]  # fmt: skip
        return subprocess.call(command, cwd=folder)


if __name__ == "__main__":
    sys.exit(main())
