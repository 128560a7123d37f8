"""The same as `densezoo sharing`; see `--help`."""

import sys
from pathlib import Path

# The repository in place of this folder.
sys.path[0] = str(Path(__file__).resolve().parents[1])

from densezoo.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["sharing", *sys.argv[1:]]))
