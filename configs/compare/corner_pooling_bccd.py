"""Corner pooling on and off under one hourglass, on blood cells: CornerNet's own ablation (36.5 and 38.4 AP on COCO).

Law, Deng, "CornerNet", https://arxiv.org/abs/1808.01244, table 2. Nothing is matched: without pooling, the head has the
same convolutions, and the pools themselves have no weights.

densezoo compare configs/compare/corner_pooling_bccd.py --work-dir runs/corner_pooling --cfg-options data_root=DATA
"""

base = "../detection/corners_hourglass_bccd.py"
base_name = "pooling"
options = {"epochs": 25, "engine.eval_every": 5}
arms = dict(none={"tasks.boxes.head.pooling": False})
seeds = 3
metric = "boxes/AP"
smallest_difference = 0.02
