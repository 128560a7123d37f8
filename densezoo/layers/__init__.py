"""Blocks that several parts share: residual, convolution, normalisation, resizing, fusion."""

from densezoo.registry import import_submodules

import_submodules(__name__)
