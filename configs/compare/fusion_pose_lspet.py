"""Five fusions in the same hourglass on Leeds Sports Pose Extended, at matched multiply-accumulates.

A run is a twelfth of what configs/pose/newell_s2_lspet.py trains: one stack for 10 epochs, five minutes of one core.
Five seeds find a difference of about 0.02.

densezoo compare configs/compare/fusion_pose_lspet.py --work-dir runs/fusion_pose_lspet --cfg-options data_root=DATA
"""

base = "../pose/newell_s2_lspet.py"
base_name = "sum"
options = {
    "neck": dict(type="StackedHourglass", num_stages=1, channels=64, fusion="sum"),
    "epochs": 10,
    "engine.eval_every": 2,
}
arms = {
    "concat": {"neck.fusion": "concat"},
    "weighted": {"neck.fusion": "weighted"},
    "gated": {"neck.fusion": "gated"},
    "none": {"neck.fusion": "none"},
}
match = dict(cost="macs", width="neck.channels")
seeds = 5
metric = "pose/PCK@0.2"
smallest_difference = 0.02
learning_rates = [4e-3, 8e-3, 1.6e-2]
