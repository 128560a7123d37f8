"""Necks: feature pyramid to one pyramid per stage, one file per family."""

from densezoo.registry import import_submodules

import_submodules(__name__)
