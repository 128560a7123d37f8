"""What the documents list is what there is."""

import re
from pathlib import Path

import densezoo
from densezoo.registry import FUSIONS, NECKS

DOCS = Path(__file__).parents[1] / "docs"


def own(registry):
    return {name for name in registry.names() if not name.lower().replace("_", "").endswith("inatest")}


def test_the_table_of_models_is_complete():
    listed = re.findall(r"^\| `(\w+)` \|", (DOCS / "models.md").read_text(), re.M)
    assert listed == densezoo.list_models(), "run: python tools/model_table.py > docs/models.md"


def test_every_neck_and_fusion_is_explained_and_drawn():
    text = (DOCS / "necks.md").read_text()
    assert {name for name in own(NECKS) if f"`{name}`" not in text} == set()
    assert {name for name in own(FUSIONS) if f"`{name}`" not in text} == set()
    assert (DOCS / "images" / "necks.svg").is_file()
