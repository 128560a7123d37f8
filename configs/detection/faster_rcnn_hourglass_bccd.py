"""Faster R-CNN of torchvision's on an hourglass, on blood cells.

Anchors are 8 strides wide: 32, 64 and 128 pixels at the strides 4, 8 and 16; most cells are 16 to 116 wide. Fewer
regions than torchvision takes, since an image holds at most 30 cells. Meant for about 20 minutes on 2 CPU cores.

densezoo train configs/detection/faster_rcnn_hourglass_bccd.py --work-dir runs/faster_rcnn
"""

_base_ = "_bccd.py"
neck = dict(type="StackedHourglass", num_stages=1, num_levels=5, channels=64)
tasks = dict(boxes=dict(type="Boxes", num_classes=3))
detector = dict(
    type="FasterRCNN",
    levels=[0, 1, 2],
    rpn_post_nms_top_n_train=500,
    rpn_post_nms_top_n_test=300,
    box_batch_size_per_image=128,
)
optimizer = dict(lr=1e-3)
epochs = 60
engine = dict(eval_every=6)
