"""Heads: pyramid to named maps, one file per kind."""

from densezoo.registry import import_submodules

import_submodules(__name__)
