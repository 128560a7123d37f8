"""Train a small stacked hourglass on drawn people, test it beside a baseline, and draw what it finds.

`make demo` runs this in the repository's root. A demo that was interrupted goes on where it stopped; a finished one is
kept, and the next is written beside it.
"""

import json
import shutil
import sys
import time
from pathlib import Path

# The repository in place of this folder, whose profile.py would hide the standard library's.
sys.path[0] = str(Path(__file__).resolve().parents[1])

from densezoo.cli.main import main as densezoo
from densezoo.datasets.images import read_image
from densezoo.engine.build import build_dataset
from densezoo.engine.config import load_config
from densezoo.engine.pictures import write_image
from densezoo.visualization.canvas import montage

CONFIG = "configs/pose/newell_s2_synthetic.py"
SCORE = "pose/PCK@0.2"
PICTURES = 24


def unfinished_folder() -> Path:
    """Return the first of runs/demo, runs/demo-2, … that no finished demo is in."""
    number = 1
    while True:
        folder = Path("runs", "demo" if number == 1 else f"demo-{number}")
        if not _last_file(folder).exists():
            return folder
        number += 1


def _last_file(folder: Path) -> Path:
    return folder / "overlays" / "predictions.json"


def run(*arguments: object) -> None:
    """Show and run one densezoo command; leave with its exit code if it fails."""
    words = [str(word) for word in arguments]
    shown = " ".join(words[:7]) + (" …" if len(words) > 7 else "")
    print(f"\n$ densezoo {shown}", flush=True)
    code = densezoo(words)
    if code:
        sys.exit(code)


def test_images() -> tuple[list[Path], Path]:
    """Return some test images, and the COCO file with their boxes."""
    config = load_config(CONFIG)
    dataset = build_dataset(config.test_data or config.val_data or config.train_data, config.data_root)
    folder = Path(dataset.read(0)["path"]).parent
    (boxes,) = (folder.parent / "annotations").glob("*.json")
    return sorted(folder.iterdir())[:PICTURES], boxes


def main() -> None:
    """Train, test, predict, and say where everything is."""
    started = time.monotonic()
    folder = unfinished_folder()
    checkpoint, overview = folder / "checkpoints" / "best.pt", folder / "overlays.png"
    test, overlays = folder / "test", folder / "overlays"

    run("train", CONFIG, "--work-dir", folder, "--resume")
    for partial in (test, overlays):
        shutil.rmtree(partial, ignore_errors=True)  # what an interrupted demo left
    run("test", CONFIG, checkpoint, "--out", test, "--baseline")
    images, boxes = test_images()
    run("predict", CONFIG, checkpoint, "--out", overlays, "--boxes", boxes, *images)
    write_image(overview, montage([read_image(path) for path in sorted(overlays.glob("*.png"))], columns=6))

    found = json.loads((test / "metrics.json").read_text(encoding="utf-8"))
    print(f"""
done in {(time.monotonic() - started) / 60:.1f} minutes
  {SCORE}  {found["scores"][SCORE]:.3f}; always predicting the mean pose: {found["baseline"][SCORE]:.3f}
  overlays       {overlays}/, all in one: {overview}
  model          {checkpoint}
  curves         {folder / "curves.png"}
  scores         {test / "metrics.json"}""")


if __name__ == "__main__":
    main()
