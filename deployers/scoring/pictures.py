"""From an image file that a stranger sent to what the network takes.

The picture itself is made by `bundle.pixels`, the very function that training and evaluation use.
"""

from __future__ import annotations

import warnings
from http import HTTPStatus
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, UnidentifiedImageError

from deployers.scoring.refusal import Refusal, bad, too_large
from mlops_spec import bundle

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlops_spec.card import Preprocessing

_UNITS = 255  # of a channel's brightness


def limit(max_pixels: int) -> None:
    """Lets this process decode no image with more pixels: a small file may claim billions."""
    Image.MAX_IMAGE_PIXELS = max_pixels  # from here on it warns, and twice this it refuses
    warnings.simplefilter("error", Image.DecompressionBombWarning)


def all_decoded(images: Sequence[bytes], how: Preprocessing) -> list[np.ndarray]:
    """Image files as the network takes them: uint8 (input_size, input_size, channels) each."""
    return [decoded(*each, how) for each in numbered(images)]


def numbered(images: Sequence[bytes]) -> list[tuple[bytes, int]]:
    """Each image with its number from 1, or 0 where it is the only one."""
    return [(image, number if len(images) > 1 else 0) for number, image in enumerate(images, 1)]


def decoded(content: bytes, number: int, how: Preprocessing) -> np.ndarray:
    """An image file as the network takes it: uint8 (input_size, input_size, channels).

    Args:
        content: The file.
        number: Which of several it is, to be said if it is wrong; 0 for the only one.
        how: The network's preprocessing.

    Raises:
        Refusal: It is no image, a damaged one, or too large.
    """
    which = f"image {number}: " if number else ""
    try:
        return bundle.pixels(content, how)
    except UnidentifiedImageError as error:
        message = f"{which}no image of a known format (JPEG, PNG, WebP, BMP, TIFF, GIF)"
        raise Refusal(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, message) from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise too_large(f"{which}more than {Image.MAX_IMAGE_PIXELS} pixels") from error
    except Exception as error:  # decoders of damaged files raise whatever they happen to meet
        message = f"{which}a damaged image, or one that can not be decoded"
        raise Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, message) from error


def of_tensor(
    values: object, how: Preprocessing, mean: object = None, std: object = None
) -> np.ndarray:
    """Normalised pixels as numbers, as old clients send them: uint8 (N, H, W, C).

    Args:
        values: (N, C, H, W) or (C, H, W), `(brightness / 255 - mean) / std`.
        how: The network's preprocessing.
        mean: Of each channel, or of all; None for the network's own.
        std: The same.

    Raises:
        Refusal: They are not finite numbers of that shape.
    """
    shape = (how.channels, how.input_size, how.input_size)
    array = _numbers(values, "data")
    array = array[None] if array.ndim == len(shape) else array
    if array.shape[1:] != shape or not len(array):
        raise bad(f"data has shape {array.shape}, not (images, {', '.join(map(str, shape))})")
    middle = _channels(how.mean if mean is None else mean, "mean", how.channels)
    spread = _channels(how.std if std is None else std, "std", how.channels)
    bright = np.rint((array * spread + middle) * _UNITS).clip(0, _UNITS)
    return np.ascontiguousarray(bright.astype(np.uint8).transpose(0, 2, 3, 1))


def _channels(values: object, name: str, count: int) -> np.ndarray:
    """A number for each channel (channels, 1, 1), or one for all of them."""
    array = _numbers(values, name).ravel()
    if array.size not in (1, count):
        raise bad(f"{name} has {array.size} numbers, not 1 or {count}")
    return np.broadcast_to(array, count)[:, None, None]


def _numbers(values: object, name: str) -> np.ndarray:
    try:
        array = np.asarray(values, np.float32)
    except (ValueError, TypeError, OverflowError) as error:
        raise bad(f"{name} is no table of numbers") from error
    if not array.size or not np.isfinite(array).all():
        raise bad(f"{name} holds what is no number, or nothing")
    return array
