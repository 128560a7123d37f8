"""Say for each task what sharing a network cost or gained, from the tests of a shared and of single networks.

The runs may differ in their tasks alone, so that budgets are equal; where the shared run has a list of data sets, a
single one has the entry for its task. Mind what best.pt of the shared run follows (engine.best): where that is one
task, the others are better compared by last.pt.

Example:
  densezoo test configs/multi/pose_boxes_masks_synthetic.py runs/shared/checkpoints/best.pt --intervals 1000
  densezoo test configs/multi/pose_synthetic.py runs/pose/checkpoints/best.pt --intervals 1000
  densezoo sharing runs/shared/test pose=runs/pose/test boxes=runs/boxes/test
"""

import argparse
import json


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    parser.add_argument("shared", metavar="DIR", help="what densezoo test wrote of the shared network")
    parser.add_argument("singles", nargs="+", metavar="TASK=DIR", help="the same of a network for that task alone")
    parser.add_argument("--allow-differences", action="store_true", help="compare runs that differ in more than tasks")
    parser.add_argument("--out", metavar="DIR", help="also write sharing.json and sharing.md, into a new folder")


def run(options: argparse.Namespace) -> int:
    """Compare."""
    from densezoo.engine.files import new_folder, write_text
    from densezoo.engine.sharing import compare, read_test, to_json, to_markdown, to_text
    from densezoo.errors import ConfigError

    folders = {}
    for word in options.singles:
        task, sign, folder = word.partition("=")
        if not sign or task in folders:
            raise ConfigError(f"{word!r}: write TASK=DIR, such as pose=runs/pose/test, once for each task")
        folders[task] = folder
    found = compare(read_test(options.shared), {task: read_test(folder) for task, folder in folders.items()})
    if found.differences and not options.allow_differences:
        raise ConfigError(
            f"the runs differ in more than their tasks: {', '.join(found.differences)}; train them alike, or compare "
            "them as they are with --allow-differences"
        )
    print(to_text(found))
    if options.out:
        out = new_folder(options.out)
        write_text(out / "sharing.json", json.dumps(to_json(found), indent=2) + "\n")
        write_text(out / "sharing.md", to_markdown(found))
        print(f"written to {out}: sharing.json, sharing.md")
    return 0
