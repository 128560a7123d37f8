"""Train one of torchvision's detectors on a neck of the zoo for a few steps, and draw what it finds.

On the embedded data set, which is drawn on first use:

    python examples/torchvision_detector.py --data-root data

On any COCO-format file:

    python examples/torchvision_detector.py --annotations instances_val2017.json --images val2017 \
        --detector FasterRCNN --neck StackedHourglass --steps 500

The picture shows one image twice: as annotated, and with the five surest detections.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torchvision.models import detection

from densezoo import create_model
from densezoo.datasets.coco_scenes import CocoScenes
from densezoo.datasets.synthetic import Synthetic
from densezoo.engine.pictures import write_image
from densezoo.errors import DenseZooError
from densezoo.interop.torchvision import as_backbone, detector_arguments
from densezoo.types import Array, DatasetMeta, Sample
from densezoo.visualization.canvas import montage
from densezoo.visualization.overlay import draw_boxes, draw_pose

DETECTORS = ("FCOS", "RetinaNet", "FasterRCNN", "KeypointRCNN")


def parse(words: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--annotations", type=Path, help="COCO-format JSON; without it, drawn scenes")
    parser.add_argument("--images", type=Path, help="folder of its images")
    parser.add_argument("--data-root", type=Path, default=Path("data"), help="where the drawn scenes go")
    parser.add_argument("--detector", choices=DETECTORS, default="FCOS")
    parser.add_argument("--neck", default="FPN", help="any neck that can give several levels")
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--size", type=int, default=256, help="shorter side, in pixels, that images are resized to")
    parser.add_argument("--picture", type=Path, default=Path("detections.png"))
    arguments = parser.parse_args(words)
    if (arguments.annotations is None) != (arguments.images is None):
        parser.error("--annotations and --images go together")
    return arguments


def to_torchvision(sample: Sample, keypoints: bool) -> tuple[Tensor, dict[str, Tensor]]:
    """Return the image in 0 to 1 and its targets; label 0 is torchvision's background."""
    keep = ~sample["crowd"]
    if keypoints:
        keep &= (sample["keypoints"][..., 2] > 0).any(1)
    target = {name: torch.from_numpy(sample[name][keep]) for name in ("boxes", "labels")}
    target["labels"] = target["labels"] + 1
    if keypoints:
        target["keypoints"] = torch.from_numpy(sample["keypoints"][keep])
    return torch.from_numpy(sample["image"]).permute(2, 0, 1) / 255, target


def draw(image: Array, boxes: Array, captions: list[str], keypoints: Array | None, meta: DatasetMeta) -> Array:
    """Return the image, enlarged, with boxes (P, 4) and, if there are any, people of keypoints (P, K, 3)."""
    if keypoints is None:
        return draw_boxes(image, boxes, captions, min_side=400)
    return draw_pose(image, keypoints, meta.skeleton, meta.flip_pairs, boxes=boxes, labels=captions, min_side=400)


def main(words: Sequence[str] | None = None) -> list[float]:
    """Run the example; returns the loss of every step."""
    arguments = parse(words)
    torch.manual_seed(0)
    levels = {"num_levels": 4, "out_levels": [0, 1, 2, 3]}
    neck = {"type": arguments.neck, "channels": 64, "norm": "group", **levels}
    model = create_model({"encoder": {"type": "NewellStem", "channels": 64, "norm": "group"}, "neck": neck})
    if arguments.annotations is None:
        dataset = Synthetic(arguments.data_root, view="scenes", num_images=200, difficulty=0.0)
    else:
        dataset = CocoScenes(str(arguments.annotations.absolute()), str(arguments.images.absolute()), Path("/"))
    classes = dataset.meta.classes

    backbone = as_backbone(model)
    kind = getattr(detection, arguments.detector)
    with_keypoints = arguments.detector == "KeypointRCNN"
    if with_keypoints and not dataset.meta.num_keypoints:
        raise SystemExit(f"{arguments.annotations} names no keypoints, which KeypointRCNN finds; take another detector")
    more = {"num_keypoints": dataset.meta.num_keypoints} if with_keypoints else {}
    detector = kind(backbone, len(classes) + 1, min_size=arguments.size, **detector_arguments(backbone, kind), **more)
    optimizer = torch.optim.AdamW((p for p in detector.parameters() if p.requires_grad), lr=5e-4)

    rng = np.random.default_rng(0)
    totals = []
    for step in range(arguments.steps):
        chosen = rng.integers(len(dataset), size=arguments.batch_size)
        images, targets = zip(*(to_torchvision(dataset.read(int(i)), with_keypoints) for i in chosen), strict=True)
        losses = detector(list(images), list(targets))
        loss = sum(losses.values())
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(detector.parameters(), 10.0)
        optimizer.step()
        totals.append(loss.item())
        parts = "  ".join(f"{name} {value.item():.3f}" for name, value in losses.items())
        print(f"step {step + 1:4d}  loss {totals[-1]:7.3f}  {parts}", flush=True)

    sample = dataset.read(0)
    with torch.no_grad():
        (surest_first,) = detector.eval()([to_torchvision(sample, keypoints=False)[0]])
    found = {key: value[:5].numpy() for key, value in surest_first.items()}
    captions = [f"{classes[i - 1]} {score:.2f}" for i, score in zip(found["labels"], found["scores"], strict=True)]
    people = (sample["keypoints"], found["keypoints"]) if with_keypoints else (None, None)
    names = [classes[i] for i in sample["labels"]]
    truth = draw(sample["image"], sample["boxes"], names, people[0], dataset.meta)
    answer = draw(sample["image"], found["boxes"], captions, people[1], dataset.meta)
    write_image(arguments.picture, montage([truth, answer], 2, ["annotated", arguments.detector]))
    print(f"{len(captions)} detections drawn in {arguments.picture}")
    return totals


if __name__ == "__main__":
    try:
        main()
    except DenseZooError as error:
        print(f"torchvision_detector: {error}", file=sys.stderr)
        sys.exit(2)
