"""What the stages share that need to know the role of each image."""

import copy


def open_data(job):
    """Return (bank, split): the images and the role of each."""
    from fedmeta.data.bank import ImageBank
    from fedmeta.data.splits import Split, read_split

    bank = ImageBank.open(job.input.images, job.input.classes)
    return bank, Split(read_split(job.input.split), bank)


def settings_of_data_set(job) -> dict:
    """Return the whole config of the job's data set, for checks alone: what it says here, no rerun depends on."""
    from snakemake.utils import update_config

    settings = copy.deepcopy(job.config)
    update_config(settings, settings["overrides"].get(job.wildcards.dataset, {}))
    return settings
