"""`python -m tests.bench [--name c1m] [--scale 0.1] [--out FILE]`."""

from __future__ import annotations

import argparse
import importlib

from tests.bench.report import Figure, machine, show, write

WORKLOADS = ("start", "node", "node_drivers", "small", "c1m", "grid", "gossip", "list", "full")


def main() -> None:
    """Run one workload, or all."""
    parser = argparse.ArgumentParser(prog="make bench")
    parser.add_argument("--name", choices=WORKLOADS)
    parser.add_argument(
        "--scale", type=float, default=1.0, help="1.0 is the size of the table; 0.01 a quick look"
    )
    parser.add_argument("--out", help="also write the figures as JSON")
    options = parser.parse_args()
    print(machine())
    figures: list[Figure] = []
    for name in [options.name] if options.name else WORKLOADS:
        for figure in importlib.import_module(f"tests.bench.{name}").run(options.scale):
            show(figure)
            figures.append(figure)
    if options.out:
        write(figures, options.out)


if __name__ == "__main__":
    main()
