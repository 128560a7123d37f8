"""Time the data pipeline per image on one thread: decode, warp, photometric. Medians in microseconds.

Without a folder a made-up photo of COCO's usual size stands in for the images and nothing is decoded from disk.

    python benchmarks/data_pipeline.py
    python benchmarks/data_pipeline.py --images data/coco_person/images --size 256
"""

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from densezoo.transforms import Photometric, Warp
from densezoo.types import Sample, identity_affine

K = 17
WARPS: dict[str, dict[str, Any]] = {
    "warp, evaluation": {},
    "warp, training": {"scale": (0.75, 1.25), "rotation": 30, "flip": 0.5},
    "letterbox of the whole image": {"padding": 1.0},
}
PHOTOMETRICS: dict[str, dict[str, float]] = {
    "gain": {"gain": 0.4},
    "gain, contrast, blur 10 %, erase 30 %": {"gain": 0.4, "contrast": 0.2, "blur": 0.1, "erase": 0.3},
    "gain, noise": {"gain": 0.4, "noise": 0.05},
}


def make_photo(height: int = 480, width: int = 640) -> np.ndarray:
    """Return a smooth random image, (height, width, 3) uint8."""
    coarse = np.random.default_rng(0).integers(0, 256, (height // 16, width // 16, 3), dtype=np.uint8)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)


def make_sample(image: np.ndarray, index: int, whole: bool) -> Sample:
    """Return a top-down sample of a random person in `image`, or one of the whole image."""
    height, width = image.shape[:2]
    rng = np.random.default_rng(index)
    x, y = rng.uniform(0, 0.5, 2) * (width, height)
    frame = [0, 0, width, height] if whole else [x, y, x + 0.35 * width, y + 0.5 * height]
    keypoints = np.full((1, K, 3), 2, np.float32)
    keypoints[..., :2] = rng.uniform((x, y), (x + 0.35 * width, y + 0.5 * height), (1, K, 2))
    return Sample(
        image=image,
        image_id=index,
        path="",
        to_original=identity_affine(),
        frame=np.array(frame, dtype=np.float32),
        keypoints=keypoints,
        boxes=np.array([frame], dtype=np.float32),
    )


def time_each(call: Callable[[int], object], repeat: int) -> float:
    """Return the median time of `call(0)`, `call(1)`, … in microseconds."""
    seconds = []
    for index in range(repeat):
        start = time.perf_counter()
        call(index)
        seconds.append(time.perf_counter() - start)
    return 1e6 * statistics.median(seconds)


def main() -> None:
    """Print one line per step."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=Path, help="folder of JPEG files; also times their decoding")
    parser.add_argument("--size", type=int, default=128, help="side of the network's input (default 128)")
    parser.add_argument("--repeat", type=int, default=1000, help="calls per step (default 1000)")
    args = parser.parse_args()
    cv2.setNumThreads(1)

    images = [make_photo()]
    if args.images is not None:
        files = [path.read_bytes() for path in sorted(args.images.glob("*.jpg"))[:100]]
        if not files:
            parser.error(f"no .jpg file in {args.images}")
        encoded = [np.frombuffer(file, np.uint8) for file in files]
        images = [image for data in encoded if (image := cv2.imdecode(data, cv2.IMREAD_COLOR_RGB)) is not None]
        decoding = time_each(lambda i: cv2.imdecode(encoded[i % len(encoded)], cv2.IMREAD_COLOR_RGB), args.repeat)
        print(f"{'decode':42} {decoding:7.0f} µs")

    flip_order = list(range(K))
    for name, options in WARPS.items():
        warp = Warp(args.size, flip_order=flip_order, **options)
        samples = [make_sample(image, i, "letterbox" in name) for i, image in enumerate(images)]
        rng = None if "evaluation" in name or "letterbox" in name else np.random.default_rng(0)
        spent = time_each(lambda i, s=samples, w=warp, r=rng: w(s[i % len(s)], r), args.repeat)  # type: ignore[misc]
        print(f"{name:42} {spent:7.0f} µs")

    view = Warp(args.size, flip_order=flip_order)(make_sample(images[0], 0, False))
    for name, options in PHOTOMETRICS.items():
        photometric = Photometric(**options)
        rng = np.random.default_rng(0)
        spent = time_each(lambda _, p=photometric, r=rng: p(view, r), args.repeat)  # type: ignore[misc]
        print(f"photometric: {name:29} {spent:7.0f} µs")

    warp = Warp(args.size, flip_order=flip_order, **WARPS["warp, training"])
    photometric = Photometric(**PHOTOMETRICS["gain, contrast, blur 10 %, erase 30 %"])
    samples = [make_sample(image, i, False) for i, image in enumerate(images)]

    def both(index: int) -> Sample:
        rng = np.random.default_rng((0, 1, index))
        return photometric(warp(samples[index % len(samples)], rng), rng)

    spent = time_each(both, args.repeat)
    print(f"{'seed, warp and photometric of training':42} {spent:7.0f} µs = {1e6 / spent:.0f} images/s")


if __name__ == "__main__":
    main()
