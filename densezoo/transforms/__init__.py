"""From a sample in the file's pixels to what the network sees: one warp, then photometric changes."""

from densezoo.transforms.photometric import Photometric
from densezoo.transforms.warp import Warp

__all__ = ["Photometric", "Warp"]
