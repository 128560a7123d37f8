"""Tasks: maps to losses, predictions and scores, one file per task."""

from densezoo.registry import import_submodules

import_submodules(__name__)
