"""Predict on image files of any size; draw the answers and write them as JSON, in the files' pixels.

Semantic maps are written as PNGs of labels, too (NAME_labels.png, 255 where there is no answer); volumes as meshes and
pictures (NAME_TASK_0.obj and .png), with y up, z towards the viewer and pixels of the file as unit.
Top-down models look at the boxes of a COCO JSON, matched by file name, and by folders where names are equal; without
one, at each image whole. Where it has to stop early, predictions.json has the answers so far.

Example:
  densezoo predict configs/pose/newell_s2_synthetic.py runs/first/checkpoints/best.pt photos/ --out out/
  densezoo predict CONFIG CHECKPOINT a.jpg b.png --out out/ --boxes people.json --heatmaps
"""

import argparse
import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import count, groupby
from pathlib import Path
from typing import TYPE_CHECKING

from densezoo.cli.arguments import add_config, add_inference, read_config

if TYPE_CHECKING:  # importing torch takes seconds, which --help should not pay
    from densezoo.engine.predict import Answer
    from densezoo.types import DatasetMeta


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    add_config(parser)
    add_inference(parser)
    parser.add_argument("images", nargs="+", metavar="IMAGE|FOLDER", help="image files, or folders of them")
    parser.add_argument("--out", required=True, metavar="DIR", help="new or empty folder for overlays and JSON")
    parser.add_argument("--boxes", metavar="FILE", help="COCO JSON with the boxes to look at")
    parser.add_argument("--heatmaps", action="store_true", help="also draw the heatmaps of every box")
    parser.add_argument("--threshold", type=float, default=0.1, help="draw keypoints that score more (0.1)")
    parser.add_argument("--box-threshold", type=float, default=0.3, help="draw found boxes that score more (0.3)")


def run(options: argparse.Namespace) -> int:
    """Predict, draw, write."""
    from densezoo.engine.build import build_dense_model
    from densezoo.engine.checkpoint import load_weights
    from densezoo.engine.distributed import choose_device
    from densezoo.engine.files import new_folder, write_text
    from densezoo.engine.load import checkpoint_meta
    from densezoo.engine.predict import find_images, predict_regions, regions_of

    config = read_config(options)
    meta = checkpoint_meta(options.checkpoint)
    images = find_images(options.images)
    regions = regions_of(images, options.boxes, meta)
    device = choose_device(config.engine.device)
    model = build_dense_model(config, meta, device)
    load_weights(model, options.checkpoint)
    folder = new_folder(options.out)
    written: list[dict[str, object]] = []
    taken: set[str] = set()
    done, complete = 0, False
    answers = predict_regions(model, config, meta, regions, device, keep_maps=options.heatmaps)
    try:
        for path, group in groupby(_noted(answers, written), key=lambda answer: answer.region.path):
            _draw(folder, path, list(group), meta, options, taken)
            done += 1
        complete = True
    finally:  # an error must not cost the answers before it
        if written or complete:
            path = folder / "predictions.json"
            write_text(path, json.dumps(written))
            if not complete:
                print(f"stopped early: the {len(written)} predictions so far are in {path}")
    print(f"{len(written)} predictions on {done} images: {folder}")
    return 0


def _noted(answers: "Iterable[Answer]", written: list[dict[str, object]]) -> "Iterator[Answer]":
    """Pass answers on, and add their results to `written` first: what groups them holds some back."""
    for answer in answers:
        for task, found in answer.results.items():
            written += [{"file_name": answer.region.path.name, "task": task, **result} for result in found]
        yield answer


def _draw(
    folder: Path,
    path: Path,
    own: "Sequence[Answer]",
    meta: "DatasetMeta",
    options: argparse.Namespace,
    taken: set[str],
) -> None:
    """Write the pictures and meshes of the answers of one file, under names that are not yet taken."""
    from densezoo.datasets.images import read_image
    from densezoo.engine.pictures import draw_answer_heatmaps, draw_each_task, label_map, write_image
    from densezoo.engine.volumes import write_volume

    image, results = read_image(path), [answer.results for answer in own]
    labels = label_map(results, image.shape[:2])
    endings = [f"_heatmaps_{number}" for number in range(len(own))] if options.heatmaps else []
    for number, answer in enumerate(own):
        endings += [f"_{task}_{number}" for task, found in answer.predictions.items() if "volume" in found]
    stem = _free_stem(path.stem, ["", *endings, *([] if labels is None else ["_labels"])], taken)
    drawn = draw_each_task(image, results, meta, options.threshold, options.box_threshold)
    write_image(folder / f"{stem}.png", drawn)
    if labels is not None:
        write_image(folder / f"{stem}_labels.png", labels)
    for number, answer in enumerate(own):
        for task, prediction in answer.predictions.items():
            if "volume" in prediction:
                write_volume(folder / f"{stem}_{task}_{number}", prediction["volume"], answer.sample, meta)
        if options.heatmaps:
            write_image(folder / f"{stem}_heatmaps_{number}.png", draw_answer_heatmaps(answer, meta))


def _free_stem(stem: str, endings: Iterable[str], taken: set[str]) -> str:
    """Return `stem`, or the first of `stem_2`, `stem_3`, … with which no ending makes a taken name; take the names."""
    for number in count(1):
        free = stem if number == 1 else f"{stem}_{number}"
        names = {free + ending for ending in endings}
        if taken.isdisjoint(names):
            break
    taken |= names
    return free
