"""Print the table of named models as Markdown: `python tools/model_table.py > docs/models.md`.

Parameters and multiply-accumulates are counted on torch's meta device, which computes nothing.
"""

import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1])

import torch
from torch.utils.flop_counter import FlopCounterMode

import densezoo
from densezoo.models.named import MODELS

HEADER = """# Named models

Written by `python tools/model_table.py > docs/models.md`. Parameters in millions; multiply-accumulates in thousand
millions, of one image of the size named, with all stages' heads. `densezoo.create_model(name)` builds one,
`densezoo.create_model(name, tasks=None)` leaves the tasks out.

| name | encoder | neck | tasks | M parameters | GMAC | image | source |
|---|---|---|---|---|---|---|---|"""


def row(name: str) -> str:
    """Return one line of the table."""
    entry = MODELS[name]
    with torch.device("meta"):
        model = densezoo.create_model(name).eval()
        images = torch.empty(1, len(model.encoder.mean), *entry.size)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(images) if model.tasks else model.forward_features(images)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    encoder, neck = entry.config["encoder"], entry.config.get("neck")
    cells = [
        f"`{name}`",
        encoder.get("model", encoder["type"]),
        neck["type"] if neck else "–",
        ", ".join(task["type"] for task in entry.config.get("tasks", {}).values()) or "–",
        f"{parameters / 1e6:.2f}",
        f"{counter.get_total_flops() / 2e9:.1f}",
        f"{entry.size[0]}×{entry.size[1]}",
        f"[{entry.source.removeprefix('https://')}]({entry.source})",
    ]
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Print the whole table."""
    print(HEADER)
    for name in densezoo.list_models():
        print(row(name))


if __name__ == "__main__":
    main()
