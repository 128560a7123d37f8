"""Measure what annotations of the size of COCO train2017 cost in memory.

    python benchmarks/annotation_memory.py                 # about fifteen minutes on 2 cores, 2 GB of temporary disk
    python benchmarks/annotation_memory.py --images 10000 --start-method spawn

Two files with as many images and annotations as COCO's own, and about as many bytes, are generated: `instances` (860
k objects with polygons) and `keypoints` (262 k people, 156 k of them with joints). For each, a fresh process opens
the data set, and a `DataLoader` reads the ground truth of every sample, masks included, twice. The number that counts
is the proportional set size (PSS) of the main process and its workers together, at its highest, less that of the same
processes with torch and densezoo imported and no data set open. Needs Linux (`/proc/*/smaps_rollup`).
"""

import argparse
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

MIB = 2**20
COCO_IMAGES, COCO_OBJECTS, COCO_PEOPLE, COCO_POSED = 118_287, 860_001, 262_465, 156_165
CORNERS = 30  # of each outline, so that the files are about as long as COCO's
KEYPOINTS = ["nose", *(f"{side}_{joint}" for joint in range(8) for side in ("left", "right"))]


def write_annotations(path: Path, images: int, objects: int, posed: float | None) -> None:
    """Write a file one line at a time; `posed` is the share of people with joints, None for 80 classes without."""
    draw = random.Random(0)
    categories: list[dict[str, Any]] = [{"id": label, "name": f"thing {label}"} for label in range(1, 81)]
    if posed is not None:
        categories = [{"id": 1, "name": "person", "keypoints": KEYPOINTS, "skeleton": [[1, 2]]}]
    with open(path, "w") as file:
        file.write('{"images": [')
        for image in range(images):
            record = {"id": image * 5 + 9, "file_name": f"{image * 5 + 9:012}.jpg", "width": 640, "height": 480}
            file.write(f"{',' if image else ''}{json.dumps(record)}\n")
        file.write('], "annotations": [')
        for index in range(objects):
            x, y = draw.uniform(0, 500), draw.uniform(0, 400)
            outline = [round(start + draw.random() * 70, 2) for _ in range(CORNERS) for start in (x, y)]
            record = {
                "id": index + 1, "image_id": draw.randrange(images) * 5 + 9, "iscrowd": 0, "area": 4900.0,
                "category_id": draw.choice(categories)["id"], "segmentation": [outline],
                "bbox": [round(x, 2), round(y, 2), 70.0, 70.0],
            }  # fmt: skip
            if posed is not None:
                seen = 2 if draw.random() < posed else 0
                joints = [int(value * bool(seen)) for value in outline[:34]]
                record["keypoints"] = [value for k in range(17) for value in (*joints[2 * k : 2 * k + 2], seen)]
                record["num_keypoints"] = 17 if seen else 0
            file.write(f"{',' if index else ''}{json.dumps(record)}\n")
        file.write(f'], "categories": {json.dumps(categories)}}}')


def proportional_bytes() -> int:
    """Return the PSS of this process and all its descendants, in bytes."""
    return sum(_pss(process) for process in _family(os.getpid()))


def _family(process: int) -> Iterator[int]:
    yield process
    for child in Path(f"/proc/{process}/task/{process}/children").read_text().split():
        yield from _family(int(child))


def _pss(process: int) -> int:
    for line in Path(f"/proc/{process}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"/proc/{process}/smaps_rollup has no Pss line")


class GroundTruth:
    """What workers read: the number of objects on the image of each sample."""

    def __init__(self, dataset: Any) -> None:
        """Wrap a data set."""
        self.dataset = dataset

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self.dataset)

    def __getitem__(self, index: int) -> int:
        """Read the ground truth of one sample."""
        return len(self.dataset.truth(index)["ids"])


class Nothing:
    """As many samples that need no memory."""

    def __len__(self) -> int:
        """Return the number of samples."""
        return 10_000

    def __getitem__(self, index: int) -> int:
        """Return the index."""
        return index


def measure(kind: str, annotations: Path, workers: int, start_method: str) -> dict[str, float]:
    """Run in a fresh process: open, read everything twice, report the highest PSS."""
    from torch.utils.data import DataLoader

    from densezoo.datasets.coco_pose import CocoPose
    from densezoo.datasets.coco_scenes import CocoScenes

    start = time.perf_counter()
    samples: Any = Nothing()
    if kind != "idle":
        dataset_type = CocoPose if kind == "keypoints" else CocoScenes
        where = {"annotations": str(annotations), "images": ".", "data_root": annotations.parent}
        samples = GroundTruth(dataset_type(**where, masks=True))
    opened = time.perf_counter() - start
    loader = DataLoader(
        samples, batch_size=64, num_workers=workers, shuffle=True, collate_fn=sum, multiprocessing_context=start_method,
        persistent_workers=True,
    )  # fmt: skip
    highest = 0
    start = time.perf_counter()
    for _ in range(2):
        for step, _count in enumerate(loader):
            if step % 100 == 0:
                highest = max(highest, proportional_bytes())
        highest = max(highest, proportional_bytes())
    return {
        "pss": highest / MIB,
        "samples": len(samples),
        "open_s": opened,
        "read_s": time.perf_counter() - start,
        "parser": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024,
    }


def in_fresh_process(*arguments: object) -> dict[str, float]:
    """Call `measure` in a new interpreter."""
    command = [sys.executable, "-W", "ignore:This DataLoader", __file__, "--measure", *map(str, arguments)]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)


def main() -> None:
    """Generate, measure, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=COCO_IMAGES, help="size; objects and people grow with it")
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--start-method", choices=["fork", "spawn", "forkserver"], default="fork")
    parser.add_argument("--measure", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        kind, path, workers, start_method = options.measure
        print(json.dumps(measure(kind, Path(path), int(workers), start_method)))
        return
    scale = options.images / COCO_IMAGES
    print(f"{options.workers} workers, {options.start_method}; PSS in MiB")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["DENSEZOO_CACHE"] = str(Path(folder, "cache"))
        idle = in_fresh_process("idle", folder, options.workers, options.start_method)
        print(f"idle: {idle['pss']:.0f}")
        for kind, objects, posed in (
            ("instances", COCO_OBJECTS, None),
            ("keypoints", COCO_PEOPLE, COCO_POSED / COCO_PEOPLE),
        ):
            path = Path(folder, f"{kind}.json")
            write_annotations(path, options.images, int(objects * scale), posed)
            runs = {
                run: in_fresh_process(kind, path, options.workers, options.start_method)
                for run in ("first (parses)", "second (cached)")
            }
            cached = sum(file.stat().st_size for file in Path(folder, "cache").rglob(f"{kind}-*/*.npy")) / MIB
            print(f"{kind}: JSON {path.stat().st_size / MIB:.0f} MiB, cache {cached:.0f} MiB")
            for run, found in runs.items():
                print(
                    f"  {run}: opened in {found['open_s']:.2f} s, {found['samples']:.0f} samples read twice in "
                    f"{found['read_s']:.0f} s, PSS {found['pss']:.0f}, above idle {found['pss'] - idle['pss']:.0f}"
                    + (f", parser's own peak {found['parser']:.0f}" if run.startswith("first") else "")
                )
            path.unlink()


if __name__ == "__main__":
    main()
