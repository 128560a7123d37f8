"""A feature pyramid on CamVid. Three configs differ in one line, the neck (unet, fpn, hourglass).

Measured on 2 cores of an Intel Xeon (AMX bf16): 83 minutes of training on one of them, test mIoU 0.608 with flip test.

densezoo train configs/segmentation/fpn_camvid.py --work-dir runs/fpn
densezoo test configs/segmentation/fpn_camvid.py runs/fpn/checkpoints/best.pt --flip-test --scales 0.75 1 1.25
"""

_base_ = "_camvid.py"
neck = dict(type="FPN", channels=96, norm="batch", activation="relu")
