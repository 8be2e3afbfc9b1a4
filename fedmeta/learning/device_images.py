"""Images of many episodes, gathered on the device: a bank is copied there once, and then only row numbers."""

import warnings
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from fedmeta.data.bank import Images

SHARE = 0.25  # of a GPU's free memory that a bank may take: a larger one stays in main memory


class DeviceImages:
    """Keeps arrays of images on `device`, each from the first episode that shows one of its images."""

    def __init__(self, device: str):
        self.device = device
        self.kept: dict[int, tuple[np.ndarray, Tensor]] = {}  # the array, too, so that nothing else gets its id

    def stacked(self, episodes: Sequence[Images | np.ndarray]) -> Tensor:
        """Return uint8 (W, n, height, width, channels), the images of W episodes; fewer than n repeat."""
        longest = max(map(len, episodes))
        named = [images for images in episodes if isinstance(images, Images)]
        if len(named) < len(episodes):
            alike = [np.resize(images, (longest, *np.shape(images)[1:])) for images in episodes]
            return torch.from_numpy(np.stack(alike)).to(self.device)
        arrays = {id(source): source for images in named for source in images.sources}
        owner = np.stack([np.resize(np.array([*map(id, x.sources)])[x.source], longest) for x in named]).ravel()
        row = np.stack([np.resize(images.row, longest) for images in named]).ravel()
        shape = next(iter(arrays.values())).shape[1:]
        gathered = torch.empty((len(row), *shape), dtype=torch.uint8, device=self.device)
        for name, array in arrays.items():
            places = np.flatnonzero(owner == name)
            images = self.images_of(array)
            shown = images[torch.from_numpy(row[places]).to(images.device)].to(self.device)
            gathered[torch.from_numpy(places).to(self.device)] = shown
        return gathered.view(len(episodes), longest, *shape)

    def images_of(self, array: np.ndarray) -> Tensor:
        """Return an array on the device or, if it would take too much of a GPU's memory, in main memory."""
        if id(array) not in self.kept:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # a mapped file is read-only, and nothing writes to it
                images = torch.from_numpy(np.asarray(array))
            if self.device != "cpu" and images.nbytes <= SHARE * torch.cuda.mem_get_info()[0]:
                images = images.to(self.device)
            self.kept[id(array)] = array, images
        return self.kept[id(array)][1]
