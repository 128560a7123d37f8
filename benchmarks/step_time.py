"""Measure what channels-last, kept memory, AdamW in one kernel and bfloat16 do for the time of a hourglass step.

    python benchmarks/step_time.py                       # two stages of width 64, 128×128, batch 32
    python benchmarks/step_time.py --channels 256 --size 256 --batch 8 --repeats 5

Each variant runs in a process of its own, in turns, so that a drift of the machine's speed meets all of them; what is
printed is the median over all steps. `as torch comes` is NCHW with glibc's allocator as it is.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from typing import Any

VARIANTS = {
    "as torch comes": (),
    "channels-last": ("nhwc",),
    "channels-last, kept memory": ("nhwc", "keep"),
    "the same, AdamW in one kernel": ("nhwc", "keep", "fused"),
    "the same in bfloat16": ("nhwc", "keep", "fused", "amp"),
}


def measure(options: argparse.Namespace) -> dict[str, list[float]]:
    """Return milliseconds of each inference and training step of one variant."""
    if "keep" in options.variant:
        from densezoo.engine.allocator import keep_freed_memory

        if not keep_freed_memory():
            print("this allocator cannot be told to keep memory", file=sys.stderr)
    import torch

    from densezoo.engine.optim import build_optimizer
    from densezoo.models import build_model

    torch.manual_seed(0)
    model = build_model(
        {"type": "NewellStem", "channels": options.channels},
        {"type": "StackedHourglass", "num_stages": options.stages, "feedback": ["pose.heatmap"]},
        {"pose": {"type": "Pose", "num_keypoints": 16}},
    )
    layout = torch.channels_last if "nhwc" in options.variant else torch.contiguous_format
    model.to(memory_format=layout)
    images = torch.rand(options.batch, 3, options.size, options.size).contiguous(memory_format=layout)
    if layout == torch.contiguous_format:
        model._normalise = lambda given: given  # the model brings images to channels-last otherwise
    keypoints = torch.rand(options.batch, 1, 16, 3) * options.size
    batch: Any = {"images": images, "keypoints": keypoints, "valid": torch.ones(options.batch, 1, dtype=torch.bool)}
    optimizer = build_optimizer(model, {"type": "adamw", "lr": 1e-4, "fused": "fused" in options.variant})

    def infer() -> None:
        model.eval()
        with torch.inference_mode():
            model(images, "last")

    def train() -> None:
        model.train()
        sum(model.losses(batch).values()).backward()
        optimizer.step()
        optimizer.zero_grad()

    times: dict[str, list[float]] = {}
    with torch.autocast("cpu", torch.bfloat16, enabled="amp" in options.variant):
        for name, step in (("inference", infer), ("training", train)):
            times[name] = []
            for turn in range(options.repeats + 2):
                started = time.perf_counter()
                step()
                if turn >= 2:  # the first two warm up
                    times[name].append((time.perf_counter() - started) * 1000)
    return times


def main() -> None:
    """Run every variant in turns and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--channels", type=int, default=64)
    parser.add_argument("--stages", type=int, default=2)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=8, help="steps per process and kind")
    parser.add_argument("--rounds", type=int, default=3, help="processes per variant")
    parser.add_argument("--variant", nargs="*", help="measure this one here and print JSON (used by the script itself)")
    options = parser.parse_args()
    if options.variant is not None:
        print(json.dumps(measure(options)))
        return
    found: dict[str, dict[str, list[float]]] = {name: {"inference": [], "training": []} for name in VARIANTS}
    own = [sys.executable, __file__]
    for name in ("channels", "stages", "size", "batch", "repeats"):
        own += [f"--{name}", str(getattr(options, name))]
    for _ in range(options.rounds):
        for name, words in VARIANTS.items():
            done = subprocess.run([*own, "--variant", *words], capture_output=True, text=True, check=True)
            for kind, times in json.loads(done.stdout).items():
                found[name][kind] += times
    first = {kind: statistics.median(times) for kind, times in found["as torch comes"].items()}
    print(f"{'median ms':40}{'inference':>11}{'training':>20}")
    for name, kinds in found.items():
        medians = {kind: statistics.median(times) for kind, times in kinds.items()}
        cells = "".join(f"{value:12.1f} ({first[kind] / value:4.2f}×)" for kind, value in medians.items())
        print(f"{name:38}{cells}")


if __name__ == "__main__":
    main()
