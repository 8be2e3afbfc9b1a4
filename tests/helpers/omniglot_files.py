"""Archives of Omniglot with a few random drawings."""

import io
import zipfile

import numpy as np
from PIL import Image

CHARACTERS = {
    "images_background": ["Latin/character02", "Latin/character01", "Greek/character01"],
    "images_evaluation": ["Angelic/character01"],
}
DRAWINGS = 3


def paper(character, drawing):
    """Return a 105 x 105 drawing, True where the paper is white, other for each character and drawing."""
    return np.random.default_rng([*character.encode(), drawing]).random((105, 105)) < 0.8


def png(white):
    file = io.BytesIO()
    Image.fromarray(white).save(file, "png")
    return file.getvalue()


def members(archive):
    """Return {path in the archive: bytes}, in no particular order."""
    return {
        f"{archive}/{character}/{k:04}_{drawing:02}.png": png(paper(character, drawing))
        for drawing in range(DRAWINGS, 0, -1)
        for k, character in enumerate(CHARACTERS[archive])
    }


def write_zip(raw, archive, contents):
    with zipfile.ZipFile(raw / f"{archive}.zip", "w", zipfile.ZIP_DEFLATED) as file:
        for path, data in contents.items():
            file.writestr(path, data)
