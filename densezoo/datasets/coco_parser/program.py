"""What the child process runs: parse one file into one folder.

A fault of the file, or of the folder, is one JSON line `{"fault": "…"}` on stdout and the exit code 3; anything else
that goes wrong is a bug of this package and ends in a traceback.
"""

import json
from pathlib import Path

import numpy as np

from .annotations import parse_annotations
from .detections import parse_detections
from .reading import Fault, read_json

FAULT_EXIT_CODE = 3
PARSERS = {"annotations": parse_annotations, "detections": parse_detections}


def main(kind: str, source: str, target: str) -> int:
    """Parse `source` into `target`; return the exit code."""
    try:
        columns, facts = PARSERS[kind](read_json(Path(source)))
    except Fault as fault:
        print(json.dumps({"fault": str(fault)}))
        return FAULT_EXIT_CODE
    facts["columns"] = {name: [column.dtype.str, list(column.shape)] for name, column in columns.items()}
    try:
        for name, column in columns.items():
            np.save(Path(target) / f"{name}.npy", column)
        (Path(target) / "facts.json").write_text(json.dumps(facts), encoding="utf-8")
    except OSError as error:
        way_out = "free space there, or name another folder in the environment variable DENSEZOO_CACHE"
        print(json.dumps({"fault": f"its cache {target} cannot be written: {error}; {way_out}"}))
        return FAULT_EXIT_CODE
    return 0
