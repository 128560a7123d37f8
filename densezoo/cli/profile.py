"""Print what a model costs: parameters, MACs, memory kept for the backward pass, and time of each part.

Example:
  densezoo profile configs/pose/newell_s2_synthetic.py
  densezoo profile configs/pose/newell_s2_synthetic.py --size 256 256 --batch 8 --amp
"""

import argparse

from densezoo.cli.arguments import add_config, read_config


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    add_config(parser)
    parser.add_argument(
        "--size", type=int, nargs=2, metavar=("HEIGHT", "WIDTH"), help="default: the config's warp.size, or its crop"
    )
    parser.add_argument("--batch", type=int, default=1, help="images per pass (1); memory and MACs are per image")
    parser.add_argument("--repeats", type=int, default=10, help="timed passes; the median is shown (10)")
    parser.add_argument("--amp", action="store_true", help="bfloat16 autocast")


def run(options: argparse.Namespace) -> int:
    """Measure and print."""
    from densezoo.engine.build import build_dense_model
    from densezoo.engine.distributed import choose_device
    from densezoo.engine.profile import cost_table, profile_model
    from densezoo.errors import ConfigError

    config = read_config(options)
    if options.batch < 1 or options.repeats < 1:
        raise ConfigError("--batch and --repeats must be at least 1")
    size = options.size or config.warp.get("size") or config.warp.get("crop")
    if size is None:
        raise ConfigError("the config's warp has no size; give --size HEIGHT WIDTH")
    height, width = (size, size) if isinstance(size, int) else size
    if min(height, width) < 1:
        raise ConfigError(f"an image has at least one pixel on each side, and this size is {height}×{width}")
    device = choose_device(config.engine.device)
    model = build_dense_model(config, None, device)
    amp = config.engine.amp  # --amp is in it
    costs = profile_model(model, (height, width), options.batch, options.repeats, amp)
    print(f"{height}×{width}, batch {options.batch}, {device}{', bfloat16' if amp else ''}")
    print(cost_table(costs))
    return 0
