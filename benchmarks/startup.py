"""Start-up of the command against a bare import, whole processes in turn.

python benchmarks/startup.py [--rounds 5]
"""

import argparse
import statistics
import subprocess
import sys
import time


def seconds(command: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    commands = {
        "semfid --help": [sys.executable, "-m", "semfid", "--help"],
        "semfid list": [sys.executable, "-m", "semfid", "list"],
        "import torch, timm": [sys.executable, "-c", "import torch, timm"],
    }
    times: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(rounds + 1):
        for name, command in commands.items():
            times[name].append(seconds(command))
    median = {name: statistics.median(values[1:]) for name, values in times.items()}
    for name, value in median.items():
        print(f"{name}: {value:.2f} s")
    print(f"semfid list / import torch, timm: {median['semfid list'] / median['import torch, timm']:.2f}")


if __name__ == "__main__":
    main()
