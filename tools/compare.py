"""The same as `densezoo compare`; see `--help`."""

import sys
from pathlib import Path

# The repository in place of this folder, whose profile.py would hide the standard library's.
sys.path[0] = str(Path(__file__).resolve().parents[1])

from densezoo.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["compare", *sys.argv[1:]]))
