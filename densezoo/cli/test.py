"""Score a checkpoint on the config's test_data (val_data where there is none).

Prints a table and writes metrics.json, predictions.json (COCO results format) and per_image.csv. Where a second human
observer labelled the images, the table has what that scores, too. With a list of test sets, each has a folder.

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
    from densezoo.engine.eval_sets import parts_of_test
    from densezoo.engine.files import free_folder, new_folder
    from densezoo.engine.intervals import Draws, draw_scores, score_intervals, write_draws
    from densezoo.engine.load import checkpoint_meta
    from densezoo.engine.pictures import draw_cases, write_image
    from densezoo.engine.score import describe_test, score_checkpoint, score_table, write_metrics, write_results
    from densezoo.engine.training_record import training_record

    config = read_config(options)
    meta = checkpoint_meta(options.checkpoint)  # before any folder is made for a checkpoint that is not there
    parts = parts_of_test(config, meta)
    training = training_record(options.checkpoint)
    folder = new_folder(options.out or free_folder(options.checkpoint, "test"))
    about = describe_test(config, options.config, options.checkpoint, training)
    scores: dict[str, float] = {}
    compared: dict[str, dict[str, float]] = {}
    intervals: dict[str, tuple[float, float]] = {}
    draws: list[Draws] = []
    for tasks, part in parts:
        found, others = score_checkpoint(part, options.checkpoint, options.baseline, tasks)
        scores |= found.scores
        for title, column in others.items():
            compared[title] = compared.get(title, {}) | column
        if options.intervals > 0:
            draws.append(draw_scores(found, options.intervals))
            intervals |= score_intervals(draws[-1])
        about["intervals"] = {name: list(intervals[name]) for name in found.scores if name in intervals}
        of_set = folder if len(parts) == 1 else new_folder(folder / "_".join(tasks or ()))
        write_results(of_set, found, others, about)
        ranked = found.ranked() if options.cases > 0 else []
        for name, order in (("best.png", ranked), ("worst.png", ranked[::-1])):
            if order:
                write_image(of_set / name, draw_cases(found, order[: options.cases]))
    if len(parts) > 1:
        about["intervals"] = {name: list(ends) for name, ends in intervals.items()}
        write_metrics(folder, scores, compared, about)
    if draws:
        write_draws(folder / "draws.json", draws)
    print(score_table(scores, compared, intervals))
    print(f"written to {folder}: metrics.json, per_image.csv, predictions")
    return 0
