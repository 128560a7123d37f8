"""Draw what the network really sees: augmented training images with their annotations and targets.

Example:
  densezoo browse_data configs/pose/newell_s2_synthetic.py --out runs/look
  densezoo browse_data CONFIG --out runs/look --data val --number 4
"""

import argparse

from densezoo.cli.arguments import add_config, read_config


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    add_config(parser)
    parser.add_argument("--out", required=True, metavar="DIR", help="new or empty folder")
    parser.add_argument("--data", choices=["train", "val", "test"], default="train", help="which set (train)")
    parser.add_argument("--number", type=int, default=12, help="samples (12), spread over the set")
    parser.add_argument("--epoch", type=int, default=0, help="augmentation draws of this epoch, from 0")


def run(options: argparse.Namespace) -> int:
    """Draw."""
    from densezoo.engine.build import build_dataset, build_dense_model, build_samples
    from densezoo.engine.distributed import choose_device
    from densezoo.engine.files import new_folder
    from densezoo.engine.pictures import draw_sample, write_image
    from densezoo.errors import ConfigError
    from densezoo.visualization.canvas import montage

    config = read_config(options)
    cfg = getattr(config, f"{options.data}_data")
    if cfg is None:
        raise ConfigError(f"the config has no {options.data}_data")
    if options.epoch < 0:
        raise ConfigError(f"--epoch {options.epoch} must be at least 0")
    dataset = build_dataset(cfg, config.data_root)
    samples = build_samples(config, dataset, training=options.data == "train")
    model = build_dense_model(config, dataset.meta, choose_device("cpu"))
    number = min(max(options.number, 1), len(samples))
    folder = new_folder(options.out)
    pictures = []
    for count in range(number):
        sample = samples[(options.epoch, count * len(samples) // number)]
        if "error" in sample:
            print(f"skipped: {sample['error']}")
            continue
        pictures.append(draw_sample(sample, model, dataset.meta))
        write_image(folder / f"{count:03d}.png", pictures[-1])
    if pictures:
        write_image(folder / "all.png", montage(pictures, columns=4))
    print(f"{len(pictures)} pictures: {folder}")
    return 0
