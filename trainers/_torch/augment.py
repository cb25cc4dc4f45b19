"""Random changes of training images: of one, of a batch, and a sheet that shows what they do."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import torch
from PIL import Image, ImageDraw
from torch import nn

from mlops_spec import files
from trainers._torch.vision import v2

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from trainers._torch.data import Pictures
    from trainers._transfer_spec import Augment

_BLUR_SHARE = 0.1  # of the side, is the width of the blur's kernel (as SimCLR, arXiv:2002.05709)
_BLUR_SIGMA = (0.1, 2.0)  # pixels
_ROWS, _COLUMNS = 8, 8  # of the sheet
_CELL, _CAPTION, _GAP = 96, 14, 4  # pixels


def of_one(spec: Augment, size: int) -> v2.Transform:
    """The random changes of one image of `size` pixels: place, then colour, then what is hidden."""
    return v2.Compose([*_place(spec, size), *_look(spec, size)] or [v2.Identity()])


def _place(spec: Augment, size: int) -> Iterator[v2.Transform]:
    if spec.rotation or spec.translate:
        yield v2.RandomAffine(spec.rotation, (spec.translate, spec.translate))
    if spec.scale != (1.0, 1.0):
        yield v2.RandomResizedCrop(size, scale=spec.scale, antialias=True)
    if spec.horizontal_flip:
        yield v2.RandomHorizontalFlip()
    if spec.vertical_flip:
        yield v2.RandomVerticalFlip()


def _look(spec: Augment, size: int) -> Iterator[v2.Transform]:
    if spec.color_jitter:
        yield v2.ColorJitter(spec.color_jitter, spec.color_jitter, spec.color_jitter)
    if spec.rand_augment:
        yield v2.RandAugment(spec.rand_augment, spec.rand_magnitude)
    if spec.blur:
        width = max(3, int(size * _BLUR_SHARE) // 2 * 2 + 1)
        yield v2.RandomApply([v2.GaussianBlur(width, _BLUR_SIGMA)], spec.blur)
    if spec.random_erasing:
        yield v2.RandomErasing(spec.random_erasing)


class Mixing(nn.Module):
    """Mixup (arXiv:1710.09412) or CutMix (arXiv:1905.04899) of a batch, one of them by chance."""

    def __init__(self, spec: Augment, classes: int) -> None:
        super().__init__()
        self.ways: list[v2.Transform] = []
        if spec.mixup:
            self.ways.append(v2.MixUp(alpha=spec.mixup, num_classes=classes))
        if spec.cutmix:
            self.ways.append(v2.CutMix(alpha=spec.cutmix, num_classes=classes))

    def forward(
        self, images: torch.Tensor, targets: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Images (N, C, H, W) with their shares of each class (N, classes); as given if unasked."""
        if not self.ways:
            return images, targets
        way = self.ways[int(torch.randint(len(self.ways), ()))]
        mixed: tuple[torch.Tensor, torch.Tensor] = way(images, targets)
        return mixed


def write_sheet(pictures: Pictures, mixing: Mixing, path: Path) -> None:
    """Draws what augmentation does: a row an image, as it is and then as training may see it.

    The rows are spread over the training images. Where images are mixed, the last column shows each
    row's mixed with the next row's.
    """
    count = min(_ROWS, len(pictures))
    chosen = [i * len(pictures) // count for i in range(count)]
    draws = _COLUMNS - 1
    rows = [
        [pictures.raw(i), *(pictures[i, number * draws + draw][0] for draw in range(draws))]
        for number, i in enumerate(chosen)
    ]
    if mixing.ways:
        last = torch.stack([row[-1] for row in rows]).float()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            mixed, _ = mixing(last, torch.zeros(count, dtype=torch.long))
        rows = [[*row[:-1], picture.byte()] for row, picture in zip(rows, mixed, strict=True)]
    names = [pictures.rows[i].label for i in chosen]
    content = io.BytesIO()
    _drawn(rows, names).save(content, "JPEG", quality=90)
    files.write_bytes(path, content.getvalue())


def _drawn(rows: list[list[torch.Tensor]], names: list[str]) -> Image.Image:
    high, wide = _CELL + _CAPTION + _GAP, _CELL + _GAP
    sheet = Image.new("RGB", (wide * _COLUMNS + _GAP, high * len(rows) + _GAP), "white")
    pen = ImageDraw.Draw(sheet)
    for y, (row, name) in enumerate(zip(rows, names, strict=True)):
        pen.text((_GAP, y * high + _GAP), name, fill="black")
        for x, picture in enumerate(row):
            place = (x * wide + _GAP, y * high + _GAP + _CAPTION)
            sheet.paste(_cell(picture), place)
    return sheet


def _cell(picture: torch.Tensor) -> Image.Image:
    pixels = picture.expand(3, -1, -1).permute(1, 2, 0).numpy()
    how = Image.Resampling.BILINEAR if pixels.shape[0] > _CELL else Image.Resampling.NEAREST
    return Image.fromarray(pixels).resize((_CELL, _CELL), how)
