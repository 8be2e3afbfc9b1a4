"""The embedded data set: letters and symbols of many scripts, from the fonts that matplotlib ships, drawn as if by pen.

Each character is thinned to its lines and drawn along them with a pen about two pixels wide, bent a little
differently for each example. So its lines distinguish a character, as in Omniglot, not a font's weight.
"""

import unicodedata
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageFont
from scipy.ndimage import distance_transform_edt, label, map_coordinates

from fedmeta.data.bank import ImageClass
from fedmeta.draws import generator

CHANNELS = 1
PUBLISHED = {}  # no raw files: matplotlib has the fonts

# A character's reference is the first face that has it. Oblique faces would add nothing to the random shear.
FACES = (
    "DejaVuSans",
    "DejaVuSerif",
    "DejaVuSansMono",
    "STIXGeneral",
    "DejaVuSans-Bold",
    "DejaVuSerif-Bold",
    "DejaVuSansMono-Bold",
    "STIXGeneralBol",
)
# Letters, digits, then mathematical and currency signs: of two that look alike, the earlier one is kept.
CATEGORIES = ("Lu", "Ll", "Lo", "Nd", "Sm", "Sc")

# In pixels of the raster on which characters are thinned: a character's longer side, the margin around it, and the
# margin added for the distances to its lines; the half width beyond which a stroke is an area, the least extent of a
# drawing, and the length up to which lines count as dots.
LONGER_SIDE, MARGIN, OUTER_MARGIN, THICKEST, SMALLEST, DOT = 48, 1, 7, 8, 24, 6
# In halves of a character's longer side, which is 20 of the image's 28 pixels, so that 0.1 is a pixel.
HALF_SIDE = 10 / 28
PEN_WIDTHS = (0.13, 0.21)
ALIKE = 0.12
# More than this share of ink leaves no gaps between the lines.
DENSEST = 0.25


class Lines(NamedTuple):
    """A character's lines: the distance to them (raster pixels), their centre, and half their longer side."""

    distance: np.ndarray
    centre: np.ndarray
    half: float


def read(raw: Path, size: int) -> tuple[np.ndarray, list[ImageClass]]:
    """Return the glyphs, which need no raw files."""
    return render_glyphs(size)


def render_glyphs(size: int = 28, examples: int = 20, seed: int = 0) -> tuple[np.ndarray, list[ImageClass]]:
    """Return images, uint8 (image, size, size, 1) with ink 255 on 0, and classes named by their Unicode names.

    Classes do not depend on the seed, and no two of them look alike in any rotation by 90 degrees. Examples show
    the faces that draw the character alike, distorted at random.
    """
    faces = _faces_of_classes()
    images = np.empty((len(faces) * examples, size, size, 1), np.uint8)
    classes = []
    for k, (character, drawings) in enumerate(faces.items()):
        random = generator(seed, "glyphs", k)
        order = random.permutation(len(drawings))
        for e in range(examples):
            lines = drawings[order[e % len(drawings)]]
            images[k * examples + e, :, :, 0] = _draw(lines, _distorted_grid(random, size), random.uniform(*PEN_WIDTHS))
        classes.append(ImageClass(unicodedata.name(character), 0, k, k * examples, examples))
    return images, classes


def _faces_of_classes() -> dict[str, list[Lines]]:
    """Return the characters that become classes, and each one's lines in the faces that draw it alike."""
    # Imported here because it is slow: opening the bank does not need it.
    from matplotlib import get_data_path
    from matplotlib.ft2font import FT2Font

    paths = [Path(get_data_path(), "fonts", "ttf", f"{face}.ttf") for face in FACES]
    charmaps = [set(map(chr, FT2Font(str(path)).get_charmap())) for path in paths]
    # Characters with a decomposition are letters with an accent, or another form of a letter.
    candidates = sorted(
        (
            c
            for c in set().union(*charmaps)
            if unicodedata.category(c) in CATEGORIES and not unicodedata.decomposition(c)
        ),
        key=lambda c: (CATEGORIES.index(unicodedata.category(c)) // 3, c),
    )
    references, others = {}, []
    for path, charmap in zip(paths, charmaps, strict=True):
        others.append((path, charmap & references.keys()))
        references |= _trace(path, [c for c in candidates if c in charmap and c not in references])
    references = {c: references[c] for c in candidates if c in references}
    kept = _distinct(list(references.values()))
    # The reference is there twice, so that a character's usual form is the most frequent one.
    faces = {c: [lines, lines] for k, (c, lines) in enumerate(references.items()) if k in kept}
    for path, charmap in others:
        for c, lines in _trace(path, [c for c in faces if c in charmap]).items():
            pair = np.stack([_plain_distances(faces[c][0]), _plain_distances(lines)])
            if _chamfer(pair, pair)[0, 1] < ALIKE:
                faces[c].append(lines)
    return faces


def _trace(font: Path, characters: list[str]) -> dict[str, Lines]:
    """Return the lines of the characters that lines alone can distinguish.

    Left out are blank, tiny, solid and too dense ones, and those with dots: these are composed of another letter and
    the dot, so nearly the same picture.
    """
    rasters = _rasters(font, characters)
    # In parts that fit in the processor's cache.
    skeletons = [lines for part in range(0, len(rasters), 100) for lines in _skeletons(rasters[part : part + 100])]
    traced = {}
    for character, raster, skeleton in zip(characters, rasters, skeletons, strict=True):
        lengths = np.bincount(_components(skeleton).ravel())[1:]
        if lengths.min(initial=LONGER_SIDE) <= DOT or not skeleton.any() or _distance_to_false(raster).max() > THICKEST:
            continue
        skeleton = np.pad(skeleton, OUTER_MARGIN)
        pixels = np.argwhere(skeleton)
        low, high = pixels.min(axis=0), pixels.max(axis=0)
        lines = Lines(_distance_to_false(~skeleton), (low + high) / 2, (high - low).max() / 2)
        if 2 * lines.half >= SMALLEST and _draw(lines, _grid(28), float(np.mean(PEN_WIDTHS))).mean() < 255 * DENSEST:
            traced[character] = lines
    return traced


def _components(picture: np.ndarray) -> np.ndarray:
    """Return which connected lines the pixels of a picture belong to, numbered from 1: int32, (height, width)."""
    numbers = np.empty(picture.shape, np.int32)
    label(picture, np.ones((3, 3)), output=numbers)
    return numbers


def _distance_to_false(picture: np.ndarray) -> np.ndarray:
    """Return how far each pixel is from the nearest False one: float64, (height, width)."""
    return np.asarray(distance_transform_edt(picture))


def _distinct(drawings: list[Lines]) -> set[int]:
    """Return which drawings are left after dropping the later one of any two that look alike in any rotation."""
    distances = np.stack([_plain_distances(lines) for lines in drawings])
    unlike = np.min([_chamfer(distances, np.rot90(distances, t, axes=(1, 2))) for t in range(4)], axis=0)
    kept: list[int] = []
    for k in range(len(drawings)):
        if not (unlike[k, kept] < ALIKE).any():
            kept.append(k)
    return set(kept)


def _chamfer(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return how far the lines of each of `a` are from those of each of `b`: (len(a), len(b)).

    `a` and `b`: distances to the lines, (drawing, height, width). The chamfer distance here is the root mean square
    distance of one's lines to the other's nearest lines, or the reverse if that is larger; far ones count as 0.6.
    """

    def lines_and_squares(distances: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        # Whole numbers: sums of their products are exact in float32, in whatever order a BLAS adds them up.
        flat = distances.reshape(len(distances), -1)
        return (
            np.rint(16 * np.clip(1 - 10 * flat, 0, 1)).astype(np.float32),
            np.rint(400 * np.minimum(flat, 0.6) ** 2).astype(np.float32),
        )

    (lines_a, squares_a), (lines_b, squares_b) = lines_and_squares(a), lines_and_squares(b)
    a_to_b = lines_a @ squares_b.T / lines_a.sum(axis=1)[:, None]
    b_to_a = squares_a @ lines_b.T / lines_b.sum(axis=1)
    return np.sqrt(np.maximum(a_to_b, b_to_a) / 400)


def _grid(size: int) -> np.ndarray:
    """Return where the pixels of an image lie, in halves of a character's longer side: (2, size, size)."""
    return (np.indices((size, size)) - (size - 1) / 2) / (size * HALF_SIDE)


def _distorted_grid(random: np.random.Generator, size: int) -> np.ndarray:
    """Return the pixels' places after a random rotation, shear, stretch, shift and elastic bending."""
    grid = _grid(size)
    turn, shear = random.normal(0, 0.12), random.normal(0, 0.12)
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    stretch = np.diag(np.exp(random.normal(0, 0.1, 2)))
    affine = rotation @ np.array([[1, 0], [shear, 1]]) @ stretch
    shift = random.normal(0, 0.06, (2, 1, 1))
    # Smooth bumps, each pushing its surroundings a pixel or so.
    centres = np.linspace(-1.2, 1.2, 5)
    bumps = np.exp(-(((grid[0, :, :1] - centres) / 0.45) ** 2))
    bending = bumps @ random.normal(0, 0.09, (2, 5, 5)) @ bumps.T
    return np.tensordot(affine, grid, axes=1) + shift + bending


def _distances(lines: Lines, grid: np.ndarray) -> np.ndarray:
    """Return the distance to the lines at the grid's points: (size, size), in the grid's unit."""
    points = lines.centre[:, None, None] + lines.half * grid
    return map_coordinates(lines.distance, points, order=1, mode="nearest") / lines.half


def _plain_distances(lines: Lines) -> np.ndarray:
    return _distances(lines, _grid(28))


def _draw(lines: Lines, grid: np.ndarray, pen: float) -> np.ndarray:
    """Return the lines drawn with a pen of the given width: uint8, (size, size), smooth at the edges."""
    pixel = 1 / (len(grid[0]) * HALF_SIDE)
    ink = 0.5 + (pen / 2 - _distances(lines, grid)) / pixel
    return np.rint(255 * np.clip(ink, 0, 1)).astype(np.uint8)


def _rasters(path: Path, characters: list[str]) -> np.ndarray:
    """Return the characters as bool (character, side, side), each as large as fits; blank ones all False."""
    font = ImageFont.truetype(str(path), 64, layout_engine=ImageFont.Layout.BASIC)
    side = LONGER_SIDE + 2 * MARGIN
    rasters = np.zeros((len(characters), side, side), bool)
    for raster, character in zip(rasters, characters, strict=True):
        mask = font.getmask(character, mode="L")
        picture = Image.frombytes("L", mask.size, bytes(mask))  # pyright: ignore[reportArgumentType]  it is a sequence, undeclared
        box = picture.getbbox()
        if box is None:
            continue
        picture = picture.crop(box)
        scale = LONGER_SIDE / max(picture.size)
        picture = picture.resize([max(1, round(length * scale)) for length in picture.size], Image.Resampling.BICUBIC)
        top, left = (side - picture.height) // 2, (side - picture.width) // 2
        raster[top : top + picture.height, left : left + picture.width] = np.asarray(picture) > 127
    return rasters


def _deletable() -> np.ndarray:
    """Return Zhang and Suen's conditions (1984) for deleting a pixel: bool (pass, code of its 8 neighbours)."""
    # Bit k of the code is neighbour k, clockwise from north.
    around = (np.arange(256)[:, None] >> np.arange(8)) & 1
    ink = around.sum(axis=1)
    edges = ((around == 0) & (np.roll(around, -1, axis=1) == 1)).sum(axis=1)
    north, east, south, west = around[:, ::2].T
    peelable = (ink >= 2) & (ink <= 6) & (edges == 1)
    return np.stack(
        [
            peelable & (north * east * south == 0) & (east * south * west == 0),
            peelable & (north * east * west == 0) & (north * south * west == 0),
        ]
    )


def _skeletons(rasters: np.ndarray) -> np.ndarray:
    """Return the one-pixel-wide lines of bool (character, height, width) pictures, by Zhang and Suen's thinning."""
    deletable = _deletable()
    ink = np.pad(rasters, ((0, 0), (1, 1), (1, 1))).view(np.uint8)
    inner = ink[:, 1:-1, 1:-1]
    height, width = inner.shape[1:]
    offsets = [(0, 1), (0, 2), (1, 2), (2, 2), (2, 1), (2, 0), (1, 0), (0, 0)]
    while True:
        before = inner.sum()
        for conditions in deletable:
            code = np.zeros_like(inner)
            for k, (i, j) in enumerate(offsets):
                code |= ink[:, i : i + height, j : j + width] << k
            inner[conditions[code]] = 0
        if inner.sum() == before:
            return inner.astype(bool)
