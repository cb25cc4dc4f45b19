"""Pictures of a page, as data URLs: small, and whole in one file."""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING

from mlops_spec import bundle

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from PIL import Image

    from mlops_spec.bundle import Preprocessing

_SIZE = 96  # pixels of a thumbnail's longer side
_VIEW = 144  # of what a network sees
_TINY = 48  # pixels below which a picture is shown as squares, and no photograph
_BLUE = (9, 105, 218)


def thumbnail(path: Path) -> str:
    """A picture, whole and small."""
    image = bundle.open_image(path, channels=3)
    return _encoded(_scaled(image, _SIZE))


def view(content: bytes, how: Preprocessing, heat: np.ndarray | None = None) -> str:
    """What a network sees of a picture.

    Args:
        content: The image file.
        how: The network's preprocessing.
        heat: How much each part of it counted, 0 to 1 (H, W): drawn over it in grey.
    """
    import numpy as np
    from PIL import Image

    square = bundle.pixels(content, how)
    image = Image.fromarray(square.squeeze()).convert("RGB")
    image = _scaled(image, _VIEW)
    if heat is not None:
        mask = Image.fromarray((heat * 255).astype(np.uint8)).resize(
            image.size, Image.Resampling.BICUBIC
        )
        image = _heated(image, np.asarray(mask, np.float32) / 255)
    return _encoded(image)


def _heated(image: Image.Image, heat: np.ndarray) -> Image.Image:
    """A picture in grey under colours from none over red to yellow."""
    import numpy as np
    from PIL import Image

    grey = np.asarray(image.convert("L"), np.float32)[..., None].repeat(3, axis=2)
    red, green = np.minimum(heat * 2, 1), np.clip(heat * 2 - 1, 0, 1)
    colour = np.stack([235 * red, 200 * green, 30 * red], axis=2)
    share = (0.7 * heat)[..., None]
    return Image.fromarray((grey * (1 - share) + colour * share).astype(np.uint8))


def matrix(counts: np.ndarray) -> str:
    """A confusion matrix as one square a cell: the darker, the larger its share of its row."""
    import numpy as np
    from PIL import Image

    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    cells = np.zeros((*counts.shape, 4), np.uint8)
    cells[..., :3] = _BLUE
    cells[..., 3] = np.where(counts > 0, 40 + 215 * share, 0)
    return _png(Image.fromarray(cells))


def sheet(path: Path) -> str:
    """A JPEG that lies beside a model; empty without one."""
    return _url("jpeg", path.read_bytes()) if path.is_file() else ""


def _scaled(image: Image.Image, side: int) -> Image.Image:
    from PIL import Image

    scale = side / max(image.size)
    how = Image.Resampling.NEAREST if max(image.size) < _TINY else Image.Resampling.BILINEAR
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    small = image.resize(size, how)
    small.info["tiny"] = max(image.size) < _TINY
    return small


def _encoded(image: Image.Image) -> str:
    """A photograph as JPEG; what is drawn as squares as PNG, which keeps them sharp and small."""
    if image.info.get("tiny"):
        return _png(image)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=80)
    return _url("jpeg", buffer.getvalue())


def _png(image: Image.Image) -> str:
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return _url("png", buffer.getvalue())


def _url(kind: str, content: bytes) -> str:
    return f"data:image/{kind};base64," + base64.b64encode(content).decode()
