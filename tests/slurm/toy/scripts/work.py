"""Sleep as long as the stage would work, then write a line for it below those of its inputs."""

import time
from pathlib import Path


def main(job) -> None:
    time.sleep(2)
    lines = [Path(path).read_text() for path in job.input]
    Path(job.output[0]).write_text("".join([*lines, f"{job.rule}\n"]))


if __name__ == "__main__":
    main(snakemake)  # noqa: F821 (Snakemake provides it)
