"""Score a checkpoint on the config's test_data (val_data where there is none).

Prints a table and writes metrics.json, predictions.json (COCO results format) and per_image.csv.

Example:
  densezoo test configs/pose/newell_s2_synthetic.py runs/first/checkpoints/best.pt --flip-test --baseline
"""

import argparse

from densezoo.cli.arguments import add_config, add_inference, read_config


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    add_config(parser)
    add_inference(parser)
    parser.add_argument("--out", metavar="DIR", help="default: a new folder test, test-2, … beside the checkpoints")
    parser.add_argument("--baseline", action="store_true", help="also score an answer that never looks at the image")
    parser.add_argument(
        "--intervals", type=int, default=0, metavar="N", help="95 %% intervals, by drawing the images anew N times (0)"
    )
    parser.add_argument("--cases", type=int, default=0, metavar="N", help="draw the N best and N worst images (0)")


def run(options: argparse.Namespace) -> int:
    """Score."""
    from densezoo.engine.files import free_folder, new_folder
    from densezoo.engine.intervals import score_intervals
    from densezoo.engine.load import checkpoint_meta
    from densezoo.engine.pictures import draw_cases, write_image
    from densezoo.engine.score import score_checkpoint, score_table, write_results

    config = read_config(options)
    checkpoint_meta(options.checkpoint)  # before any folder is made for a checkpoint that is not there
    folder = new_folder(options.out or free_folder(options.checkpoint, "test"))
    found, baseline = score_checkpoint(config, options.checkpoint, options.baseline)
    intervals = score_intervals(found, options.intervals) if options.intervals > 0 else {}
    about = {
        "intervals": {name: list(ends) for name, ends in intervals.items()},
        "checkpoint": options.checkpoint,
        "config": options.config,
        "flip_test": config.engine.flip_test,
        "scales": list(config.engine.scales),
    }
    print(score_table(found.scores, baseline, intervals))
    write_results(folder, found, baseline, about)
    ranked = found.ranked() if options.cases > 0 else []
    for name, order in (("best.png", ranked), ("worst.png", ranked[::-1])):
        if order:
            write_image(folder / name, draw_cases(found, order[: options.cases]))
    print(f"written to {folder}: metrics.json, per_image.csv, predictions")
    return 0
