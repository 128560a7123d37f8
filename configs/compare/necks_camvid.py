"""U-Net, FPN and stacked hourglass on the same encoder of timm's, on CamVid, at matched multiply-accumulates.

Small crops and 14 epochs a run. The test set is 233 frames, a second apart, of two drives only: those of about half a
minute are drawn together, which makes nine groups, so that other drives may well say something else. Learning rates are
chosen on one scene. Five seeds find a difference of 0.02 to 0.03.

densezoo compare configs/compare/necks_camvid.py --work-dir runs/necks_camvid --cfg-options data_root=DATA
"""

base = "../segmentation/unet_camvid.py"
base_name = "unet"
options = {"warp.crop": [240, 240], "epochs": 14, "engine.eval_every": 4}
arms = dict(
    fpn={"neck": dict(type="FPN", channels=96, norm="batch", activation="relu")},
    hourglass={"neck": dict(type="StackedHourglass", num_stages=2, num_levels=5, channels=96)},
)
match = dict(cost="macs", width="neck.channels")
cluster = r"(Seq05VD_f\d\d|0001TP_\d\d\d)"
seeds = 5
metric = "scene/mIoU"
smallest_difference = 0.02
learning_rates = [1e-3, 2e-3, 4e-3]
