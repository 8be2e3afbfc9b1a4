"""What the stages share that need to know the role of each image."""


def open_data(job):
    """Return (bank, split): the images and the role of each."""
    from fedmeta.data.bank import ImageBank
    from fedmeta.data.splits import Split, read_split

    bank = ImageBank.open(job.input.images, job.input.classes)
    return bank, Split(read_split(job.input.split), bank)
