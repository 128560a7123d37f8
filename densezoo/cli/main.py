"""One console command: `densezoo train …`, `densezoo test …`, and so on.

Errors that the user can mend end in one line on stderr and exit code 2.
"""

import argparse
import importlib
import logging
import os
import sys
from collections.abc import Sequence

from densezoo.engine.allocator import keep_freed_memory
from densezoo.errors import DenseZooError

COMMANDS = {
    "train": "train a config's model",
    "test": "score a checkpoint and write its predictions",
    "predict": "predict on image files, draw and write the answers",
    "browse_data": "draw what the network really sees",
    "sharing": "compare a network of several tasks with networks of one",
    "compare": "run a study of several arms over paired seeds, and report it",
    "profile": "print what a model costs, part by part",
    "convert_checkpoint": "turn another implementation's weights into a checkpoint",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a subcommand.

    Args:
        arguments: of the command line; None takes the process's own.

    Returns:
        The exit code: 0, 1 where a study has units left, 2 for an error that the user can mend, 130 after an
        interrupt, 141 where nobody reads on.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    parser = argparse.ArgumentParser(
        prog="densezoo",
        description="Dense prediction with interchangeable necks.",
        epilog="commands:\n" + "\n".join(f"  {name:18} {text}" for name, text in COMMANDS.items()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("command", choices=COMMANDS, metavar="COMMAND", help="see below; COMMAND --help says more")
    if not arguments:
        parser.print_help()
        return 2
    name = parser.parse_args(arguments[:1]).command
    module = importlib.import_module(f"densezoo.cli.{name}")
    command = argparse.ArgumentParser(
        prog=f"densezoo {name}",
        description=module.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    module.add_arguments(command)
    options = command.parse_args(arguments[1:])
    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    logging.getLogger("densezoo").setLevel(logging.INFO)
    keep_freed_memory()
    try:
        code: int = module.run(options)
        sys.stdout.flush()
    except BrokenPipeError:  # whoever read the output, such as head, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except DenseZooError as error:
        print(f"densezoo {name}: {_one_line(error)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"densezoo {name}: stopped", file=sys.stderr)
        return 130
    return code


def _one_line(error: DenseZooError) -> str:
    """Return the message; of an error that a data worker passed on, without the traceback that torch puts before it."""
    text = str(error)
    if text.startswith("Caught "):
        text = text.strip().splitlines()[-1].partition(": ")[2]
    return text


if __name__ == "__main__":
    sys.exit(main())
