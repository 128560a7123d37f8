"""A U-Net on CamVid. Three configs differ in one line, the neck (unet, fpn, hourglass).

Measured on 2 cores of an Intel Xeon (AMX bf16): 57 minutes of training, test mIoU 0.616 with flip test.

densezoo train configs/segmentation/unet_camvid.py --work-dir runs/unet
densezoo test configs/segmentation/unet_camvid.py runs/unet/checkpoints/best.pt --flip-test --scales 0.75 1 1.25
"""

_base_ = "_camvid.py"
neck = dict(type="UNet", channels=[64, 96, 128, 256])
