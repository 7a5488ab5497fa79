"""Make a metric's file the one of the package: `python tools/install_default_metric.py 'runs/default_metric/*/metric.pt'`."""

from __future__ import annotations

import argparse

from engine.default_metric_file import install_default_metric
from semfid.scoring.exported import one_path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", help="path, or a pattern that fits one")
    install_default_metric(one_path(parser.parse_args().file))


if __name__ == "__main__":
    main()
