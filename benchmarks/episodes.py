"""Times Conv4 inner steps: this project's engines, what people write, and what the machine allows.

Prints a table and writes results/benchmarks/episodes.csv. All contenders are timed in turns in one run, and the
figures are medians, so that ratios hold on a machine that others use too: judge by the ratios.
"""

import argparse
import csv
import multiprocessing
import os
import statistics
import time
from functools import partial
from pathlib import Path

import contenders
import torch

from fedmeta.files import atomic_path
from fedmeta.learning.convolution import WAYS

DATA_SETS = {"omniglot": contenders.Images(1, 28, 10), "mini-imagenet": contenders.Images(3, 84, 5)}
CORES = os.cpu_count() or 1
SECONDS, FEWEST_TURNS, MOST_TURNS = 70, 3, 25  # a group takes turns until so much time has passed
COLUMNS = (
    "images",
    "contender",
    "processes",
    "ms_per_inner_step",
    "episodes_per_s",
    "times_floor",
    "times_faster_than_naive",
    "peak_memory_mb",
)


class Contender:
    """Processes that wait for their turn; several of them work at once."""

    def __init__(self, make, images: contenders.Images, processes: int = 1):
        context = multiprocessing.get_context("spawn")
        self.connections, self.processes = [], []
        for _ in range(processes):
            ours, theirs = context.Pipe()
            self.connections.append(ours)
            self.processes.append(context.Process(target=contenders.serve, args=(theirs, make, images)))
            self.processes[-1].start()
            theirs.close()
        self.times: list[float] = []

    def wait(self) -> None:
        """Return when all processes are ready for the first turn."""
        for connection in self.connections:
            connection.recv()

    def take_turn(self) -> None:
        """Run once, and note the wall-clock seconds a step: of all processes' steps together."""
        for connection in self.connections:
            connection.send(True)
        speeds = [connection.recv() for connection in self.connections]
        self.times.append(max(speed.seconds for speed in speeds) / sum(speed.steps for speed in speeds))

    def finish(self) -> int:
        """End the processes; return the peak memory of the largest, bytes."""
        for connection in self.connections:
            connection.send(False)
        peak = max(connection.recv() for connection in self.connections)
        for process in self.processes:
            process.join()
        return peak


def time_in_turns(
    entries: dict[str, tuple], images: contenders.Images, seconds: float = SECONDS
) -> dict[str, tuple[float, int]]:
    """Return the median seconds a step and the peak memory of each entry: name -> (maker, processes)."""
    running = {name: Contender(make, images, processes) for name, (make, processes) in entries.items()}
    for contender in running.values():
        contender.wait()
    began = time.monotonic()
    for turn in range(MOST_TURNS):
        if turn >= FEWEST_TURNS and time.monotonic() - began > seconds:
            break
        for contender in running.values():
            contender.take_turn()
    return {name: (statistics.median(contender.times), contender.finish()) for name, contender in running.items()}


def time_data_set(name: str, images: contenders.Images) -> list[dict]:
    """Return a row for each way to take inner steps on such images."""
    entries = {
        "naive": (partial(contenders.naive, "cpu"), 1),
        "serial": (contenders.serial, 1),
        "floor, one process": (contenders.floor, 1),
        "workers": (contenders.workers, 1),
        "floor": (contenders.floor, CORES),
    }
    for device in ("cpu", "cuda") if torch.cuda.is_available() else ("cpu",):
        if device == "cuda":
            entries["naive, cuda"] = (partial(contenders.naive, device), 1)
        entries |= {f"batched, {device}, {way}": (partial(contenders.batched, device, way), 1) for way in WAYS}
        entries[f"products, {device}"] = (partial(contenders.products, device), 1)
    timed = time_in_turns(entries, images)
    rows = []
    for contender, (seconds, peak) in timed.items():
        if "cuda" in contender:  # a card is held against itself
            lower, naive = "products, cuda", "naive, cuda"
        else:
            lower = "floor, one process" if contender in ("serial", "floor, one process") else "floor"
            naive = "naive"
        rows.append(
            {
                "images": name,
                "contender": contender,
                "processes": CORES if contender in ("workers", "floor") else 1,
                "ms_per_inner_step": 1e3 * seconds,
                "episodes_per_s": 1 / (seconds * images.inner_steps),
                "times_floor": seconds / timed[lower][0],
                "times_faster_than_naive": timed[naive][0] / seconds,
                "peak_memory_mb": peak / 1e6,
            }
        )
    return rows


def print_table(rows: list[dict]) -> None:
    """Print the rows with their columns aligned."""
    texts = [COLUMNS] + [[f"{v:.2f}" if isinstance(v, float) else str(v) for v in row.values()] for row in rows]
    widths = [max(map(len, column)) for column in zip(*texts, strict=True)]
    for text in texts:
        print("  ".join(value.ljust(width) for value, width in zip(text, widths, strict=True)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--csv", type=Path, default=Path("results/benchmarks/episodes.csv"), help="file to write")
    target, began = parser.parse_args().csv, time.monotonic()

    rows = [row for name, images in DATA_SETS.items() for row in time_data_set(name, images)]
    steps = ", ".join(f"{images.inner_steps} ({name})" for name, images in DATA_SETS.items())
    print(f"{CORES} cores; Conv4-64, batch {contenders.BATCH}, inner steps an episode: {steps}\n")
    print_table(rows)

    omniglot = DATA_SETS["omniglot"]
    product = {"product": (contenders.matrix_product, CORES)}
    rate = 2 * contenders.MATRIX**3 / time_in_turns(product, omniglot, 10)["product"][0] / 1e9
    print(f"\nmatrix products, {CORES} processes: {rate:.0f} GFLOP/s")
    sizes = {f"{users} users": (partial(contenders.federation, users), 1) for users in (4, 40, 400)}
    rounds = time_in_turns(sizes, omniglot, 20)
    print("a round of 3 episodes: " + ", ".join(f"{name} {1e3 * each[0]:.0f} ms" for name, each in rounds.items()))
    print(f"\n{target}; {time.monotonic() - began:.0f} s")

    with atomic_path(target) as temporary, open(temporary, "w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main()
