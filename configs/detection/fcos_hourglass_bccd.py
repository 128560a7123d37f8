"""FCOS of torchvision's on blood cells. Two configs differ in one line, the neck: an hourglass or a feature pyramid.

Read are the strides 8, 16 and 32, for cells mostly 16 to 116 wide. Measured on 2 cores of an Intel Xeon (AMX bf16): 15
minutes of training with the hourglass and 13 with the pyramid; test AP50 0.894 with flip test for both.

densezoo train configs/detection/fcos_hourglass_bccd.py --work-dir runs/fcos_hourglass
densezoo train configs/detection/fcos_fpn_bccd.py --work-dir runs/fcos_fpn
"""

_base_ = "_bccd.py"
neck = dict(type="StackedHourglass", num_stages=1, num_levels=5, channels=64)
tasks = dict(boxes=dict(type="Boxes", num_classes=3))
detector = dict(type="FCOS", levels=[1, 2, 3], score_thresh=0.05)
optimizer = dict(lr=1e-3)
epochs = 120
engine = dict(eval_every=12)
