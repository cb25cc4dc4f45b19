"""The transfer trainer's insides; everything here imports torch.

`vision` comes first: it makes torchvision importable, and Lightning imports torchvision.
"""

from trainers._torch import vision

__all__ = ["vision"]
