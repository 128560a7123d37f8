"""One, two and four stacks at the same number of parameters, on Leeds Sports Pose Extended.

The ablation of Newell, Yang, Deng, https://arxiv.org/abs/1603.06937, section 4.3, which has 87.4, 87.8 and 88.1 PCKh on
MPII for 2, 4 and 8 stacks of about the same number of parameters; here with small widths and 8 epochs a run, which is
early for the deeper ones. Five seeds find a difference of about 0.02.

densezoo compare configs/compare/stacks_pose_lspet.py --work-dir runs/stacks_pose_lspet --cfg-options data_root=DATA
"""

base = "../pose/newell_s2_lspet.py"
base_name = "two"
options = {"neck.channels": 64, "epochs": 8, "engine.eval_every": 2}
arms = dict(
    one={"neck.num_stages": 1, "neck.feedback": []},
    four={"neck.num_stages": 4},
)
match = dict(cost="parameters", width="neck.channels")
seeds = 5
metric = "pose/PCK@0.2"
smallest_difference = 0.02
learning_rates = [4e-3, 8e-3, 1.6e-2]
