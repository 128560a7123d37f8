"""Encoders: image to feature pyramid, one file each."""

from densezoo.registry import import_submodules

import_submodules(__name__)
