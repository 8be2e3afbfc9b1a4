"""Model files -> the norms of their convolution kernels beside those of a fresh Glorot draw."""

import stage


def main(job) -> None:
    import pandas as pd

    from fedmeta.checkpoints import read_tensors
    from fedmeta.defences.glorot_mix import kernel_norms
    from fedmeta.reporting.results import write_table

    rows = []
    for path in job.input.models:
        tensors, provenance = read_tensors(path)
        model = {"pretrain": "clean", "attack": "attacked"}[provenance["stage"]]
        made = {"seed": provenance["wildcards"]["seed"], "scope": provenance["wildcards"]["scope"], "model": model}
        for kernel, (norm, fresh) in kernel_norms(tensors).items():
            rows.append({**made, "kernel": kernel, "norm": norm, "fresh_norm": fresh, "ratio": norm / fresh})
    write_table(pd.DataFrame(rows), job.output[0])


if __name__ == "__main__":
    stage.run(main, snakemake)  # noqa: F821 (Snakemake provides it)
