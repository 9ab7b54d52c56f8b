"""Run the quick benchmarks, or those named: python -m benchmarks [web] [training] ..."""

import importlib
import json
import platform
import sys
from datetime import UTC, datetime
from pathlib import Path

QUICK = ("web", "importing", "training")
RESULTS = Path(__file__).parent / "results"


def main() -> None:
    RESULTS.mkdir(exist_ok=True)
    for name in sys.argv[1:] or QUICK:
        print(f"== {name}", flush=True)
        figures = importlib.import_module(f"benchmarks.{name}").measure()
        about = {
            "measured": datetime.now(UTC).isoformat(timespec="minutes"),
            "python": platform.python_version(),
            "machine": platform.machine(),
        }
        (RESULTS / f"{name}.json").write_text(json.dumps({**about, **figures}, indent=2) + "\n")
        for key, value in figures.items():
            print(f"  {key}: {value}")


if __name__ == "__main__":
    main()
