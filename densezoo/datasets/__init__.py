"""Data sets, one file per format. Every module of this package registers its data sets by being imported."""

from densezoo.registry import import_submodules

import_submodules(__name__)
