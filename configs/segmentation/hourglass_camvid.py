"""Two stacked hourglasses on CamVid. Three configs differ in one line, the neck (unet, fpn, hourglass).

Measured on 2 cores of an Intel Xeon (AMX bf16): 91 minutes of training, test mIoU 0.628 with flip test.

densezoo train configs/segmentation/hourglass_camvid.py --work-dir runs/hg
densezoo test configs/segmentation/hourglass_camvid.py runs/hg/checkpoints/best.pt --flip-test --scales 0.75 1 1.25
"""

_base_ = "_camvid.py"
neck = dict(type="StackedHourglass", num_stages=2, num_levels=5, channels=96)
