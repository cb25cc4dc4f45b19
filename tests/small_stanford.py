"""Lists of a small Stanford Dogs: the official structure, three breeds, real .mat files."""

import io

import numpy as np
from scipy.io import savemat

BREEDS = {"n02085620-Chihuahua": 15, "n02088466-bloodhound": 12, "n02113978-Mexican_hairless": 10}
TRAINING = 8  # of each breed


def names():
    """The names of each list, in the official order: breed by breed."""
    training, test = [], []
    for folder, count in BREEDS.items():
        found = [f"{folder}/{folder[:9]}_{number}.jpg" for number in range(1, count + 1)]
        training += found[:TRAINING]
        test += found[TRAINING:]
    return training, test


def cells(words):
    made = np.empty((len(words), 1), object)
    made[:, 0] = words
    return made


def numbers_of(listed):
    return [[[*BREEDS].index(name.partition("/")[0]) + 1] for name in listed]


def mat_of(listed, numbers=None, **more):
    """A list as the official ones are: cells of names and of annotations, a column of numbers."""
    held = io.BytesIO()
    variables = {
        "file_list": cells(listed),
        "annotation_list": cells([name.removesuffix(".jpg") for name in listed]),
        "labels": np.array(numbers or numbers_of(listed), np.uint8),
    }
    savemat(held, {**variables, **more}, do_compression=True)
    return held.getvalue()
