"""Train a config's model.

Example:
  densezoo train configs/pose/newell_s2_synthetic.py --work-dir runs/first
  densezoo train configs/pose/newell_s2_synthetic.py --work-dir runs/first --resume
  torchrun --nproc_per_node 2 tools/train.py CONFIG --work-dir runs/two --launcher pytorch
"""

import argparse

from densezoo.cli.arguments import add_config, read_config


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    add_config(parser)
    parser.add_argument("--work-dir", required=True, metavar="DIR", help="everything is written here; must be new")
    parser.add_argument("--resume", action="store_true", help="go on from DIR/checkpoints/last.pt")
    parser.add_argument("--seed", type=int, help="of weights, order and augmentation")
    parser.add_argument("--amp", action="store_true", help="bfloat16 autocast, on a CPU too")
    parser.add_argument("--launcher", choices=["pytorch"], help="join the processes that torchrun started")


def run(options: argparse.Namespace) -> int:
    """Train."""
    from densezoo.engine.train import train

    train(read_config(options), options.work_dir, options.resume, options.launcher)
    return 0
