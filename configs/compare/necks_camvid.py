"""U-Net, FPN and stacked hourglass on the same encoder of timm's, on CamVid, at matched multiply-accumulates.

Small crops and 14 epochs a run. Frames of the test set lie a second apart: those of 3.3 seconds are drawn together.

densezoo compare configs/compare/necks_camvid.py --work-dir runs/necks_camvid --cfg-options data_root=DATA
"""

base = "../segmentation/unet_camvid.py"
base_name = "unet"
options = {"warp.crop": [240, 240], "epochs": 14, "engine.eval_every": 7}
arms = dict(
    fpn={"neck": dict(type="FPN", channels=96, norm="batch", activation="relu")},
    hourglass={"neck": dict(type="StackedHourglass", num_stages=2, num_levels=5, channels=96)},
)
match = dict(cost="macs", width="neck.channels")
cluster = r"(Seq05VD_f\d\d\d|0001TP_\d\d\d\d)"
seeds = 5
metric = "scene/mIoU"
smallest_difference = 0.01
learning_rates = [1e-3, 2e-3, 4e-3]
