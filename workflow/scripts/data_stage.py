"""What the stages share that need to know the role of each image."""


def open_data(job):
    """Return (bank, split): the images and the role of each."""
    from fedmeta.data.prepared import open_split

    return open_split(dict(job.input.items()))
