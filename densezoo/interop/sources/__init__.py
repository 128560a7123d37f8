"""State dicts of other implementations, one file each."""

from densezoo.registry import import_submodules

import_submodules(__name__)
