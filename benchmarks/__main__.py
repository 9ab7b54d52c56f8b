"""Run the quick benchmarks, or those named: python -m benchmarks [web] [training] [large_import] [privacy --data FOLDER] ..."""

import argparse
import importlib
import json
import platform
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

QUICK = ("web", "importing", "training")
ON_REAL_IMAGES = ("privacy", "planted_sets", "stopping")  # these need --data
RESULTS = Path(__file__).parent / "results"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", help="files of this folder", default=QUICK)
    parser.add_argument(
        "--data", type=Path, help="folder with zips of labelled images, which are not part of the project"
    )
    parser.add_argument("--images", type=int, default=50_000, help="how many images large_import makes and imports")
    options = parser.parse_args()
    for name in options.names:
        if name in ON_REAL_IMAGES and options.data is None:
            parser.error(f"{name} works on real images; name the folder that holds their zips with --data.")
    RESULTS.mkdir(exist_ok=True)
    for name in options.names:
        print(f"== {name}", flush=True)
        module = importlib.import_module(f"benchmarks.{name}")
        given: dict[str, list[Any]] = {name: [options.data] for name in ON_REAL_IMAGES}
        given["large_import"] = [options.images]
        figures = module.measure(*given.get(name, []))
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
