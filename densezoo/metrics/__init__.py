"""Metrics: records per image in, scores out; one file per metric, found and registered by import."""

from densezoo.registry import import_submodules

import_submodules(__name__)
