"""Runs every benchmark and prints one table; `--output json` for machines."""

import argparse
import json
import sys
from collections.abc import Callable

from tests.bench import commit, hooks, load, reads, writes, xds

Row = tuple[str, float, str, float | None]
BENCHES: dict[str, Callable[[bool], list[Row]]] = {
    "load": load.run,
    "xds": xds.run,
    "commit": commit.run,
    "writes": writes.run,
    "reads": reads.run,
    "hooks": hooks.run,
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer proxies and repetitions: about a minute")
    parser.add_argument("--output", choices=("text", "json"), default="text")
    parser.add_argument("only", nargs="*", help=f"some of {', '.join(BENCHES)}")
    asked = parser.parse_args()
    rows: list[Row] = []
    for name in asked.only or BENCHES:
        sys.stderr.write(f"{name} …\n")
        rows += BENCHES[name](asked.quick)
    if asked.output == "json":
        keys = ("what", "value", "unit", "ratio")
        print(json.dumps([dict(zip(keys, row, strict=True)) for row in rows], indent=2))
        return
    width = max(len(row[0]) for row in rows)
    for what, value, unit, ratio in rows:
        print(f"{what:{width}}  {value:10.2f} {unit:8}" + ("" if ratio is None else f" {ratio:8.2f} ×"))


if __name__ == "__main__":
    main()
