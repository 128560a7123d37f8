"""Time box AP on as many images and objects as COCO val2017 has, by pycocotools and by faster-coco-eval.

    python benchmarks/box_ap.py                # about two minutes on one core; both must give the same twelve numbers
    python benchmarks/box_ap.py --images 500

Objects of 80 classes, as many on average as COCO's (36,781 on 5,000 images), each found about twice with some error,
and boxes on nothing, up to `--detections` an image. `compute` is what validation during training takes; `test` also
asks for the AP of each image, and a bootstrap for scores of reweighted images.
"""

import argparse
import time

import numpy as np

from densezoo.metrics import box_ap
from densezoo.metrics.box_ap import BoxAP
from densezoo.metrics.faster_boxes import faster_coco_eval
from densezoo.types import DatasetMeta, ImageTruth, Prediction, Sample

OBJECTS_PER_IMAGE = 36_781 / 5_000
NUM_CLASSES = 80


def fill(metric: BoxAP, num_images: int, num_detections: int) -> None:
    """Give the metric random images."""
    rng = np.random.default_rng(0)
    for image_id in range(1, num_images + 1):
        count = int(rng.poisson(OBJECTS_PER_IMAGE))
        low = rng.uniform(0, 500, (count, 2))
        boxes = np.concatenate([low, low + rng.lognormal(4, 0.8, (count, 2))], axis=1)
        labels = rng.choice(rng.integers(0, NUM_CLASSES, 3), count)
        truth = ImageTruth(
            ids=np.arange(count),
            labels=labels,
            boxes=boxes.astype(np.float32),
            areas=(0.6 * (boxes[:, 2:] - boxes[:, :2]).prod(1)).astype(np.float32),
            crowd=rng.random(count) < 0.01,
            size=(640, 640),
        )
        near = [boxes + rng.normal(0, spread, boxes.shape) for spread in (4, 15)]
        low = rng.uniform(0, 500, (max(num_detections - 2 * count, 0), 2))
        far = np.concatenate([low, low + rng.lognormal(4, 0.8, low.shape)], axis=1)
        found = np.concatenate([*near, far])
        guesses = np.concatenate([labels, labels, rng.choice(rng.integers(0, NUM_CLASSES, 8), len(far))])
        sample = {"image_id": image_id, "path": "", "to_original": np.eye(2, 3), "truth": truth}
        prediction = Prediction(boxes=found, labels=guesses, scores=rng.random(len(found)))
        metric.update([prediction], [Sample(**sample)])  # type: ignore[typeddict-item]


def main() -> None:
    """Print seconds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--detections", type=int, default=100, help="predictions an image")
    options = parser.parse_args()
    names = tuple(f"class {label}" for label in range(NUM_CLASSES))
    found = {}
    for name, library in (("faster-coco-eval", faster_coco_eval()), ("pycocotools", None)):
        if name == "faster-coco-eval" and library is None:
            print("faster-coco-eval is not installed")
            continue
        box_ap.faster_coco_eval = lambda library=library: library  # type: ignore[assignment]
        metric = BoxAP(DatasetMeta(classes=names, category_ids=tuple(range(NUM_CLASSES))))
        fill(metric, options.images, options.detections)
        started = time.perf_counter()
        found[name] = metric.compute()
        computed = time.perf_counter()
        metric.per_image()
        print(f"{name:17} compute {computed - started:6.1f} s  per image {time.perf_counter() - computed:6.1f} s")
    weighed = time.perf_counter()
    metric.compute(dict.fromkeys(range(1, options.images, 2), 1.0))
    print(f"reweighted, once matched {time.perf_counter() - weighed:6.1f} s")
    if len(found) == 2:
        first, second = (np.array(list(scores.values())) for scores in found.values())
        print(f"AP {first[0]:.4f}; largest difference {np.nanmax(np.abs(first - second)):.1e}")


if __name__ == "__main__":
    main()
