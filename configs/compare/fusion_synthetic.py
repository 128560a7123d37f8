"""Sum, concat and no fusion at all in one small hourglass, on the embedded data set: how a study looks, in minutes.

densezoo compare configs/compare/fusion_synthetic.py --work-dir runs/fusion_synthetic
"""

base = "../pose/newell_s2_synthetic.py"
base_name = "sum"
_set = dict(type="Synthetic", difficulty=0.0, max_people=2)
options = {
    "encoder.channels": 32,
    "neck": dict(type="StackedHourglass", num_stages=1, num_levels=4, channels=32, fusion="sum"),
    "warp.size": [64, 64],
    "train_data": dict(**_set, split="train", num_images=600),
    "test_data": dict(**_set, split="test", num_images=200),
    "epochs": 8,
    "engine.eval_every": 2,
    "engine.workers": 1,
}
arms = dict(concat={"neck.fusion": "concat"}, none={"neck.fusion": "none"})
match = dict(cost="macs", width="neck.channels")
seeds = 3
metric = "pose/PCK@0.2"
smallest_difference = 0.02
learning_rates = [2.5e-3, 5e-3, 1e-2]
