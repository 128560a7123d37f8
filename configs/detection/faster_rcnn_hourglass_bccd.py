"""Faster R-CNN of torchvision's on an hourglass, on blood cells.

Anchors are 8 strides wide: 32, 64 and 128 pixels at the strides 4, 8 and 16, for cells of 15 to 130. Fewer regions than
torchvision takes, since an image holds at most 30 cells. Data, warp, stem and neck are those of
fcos_hourglass_bccd.py. Meant for about 20 minutes on 2 CPU cores.

densezoo train configs/detection/faster_rcnn_hourglass_bccd.py --work-dir runs/faster_rcnn
"""

encoder = dict(type="NewellStem", channels=64)
neck = dict(type="StackedHourglass", num_stages=1, num_levels=5, channels=64)
tasks = dict(boxes=dict(type="Boxes", num_classes=3))
detector = dict(
    type="FasterRCNN",
    levels=[0, 1, 2],
    rpn_post_nms_top_n_train=500,
    rpn_post_nms_top_n_test=300,
    box_batch_size_per_image=128,
)
warp = dict(size=(240, 320), padding=1.0, scale=(0.75, 1.25), shift=0.1, flip=0.5)
photometric = dict(gain=0.2)
_set = dict(type="CocoScenes", images="bccd/images")
train_data = dict(**_set, annotations="bccd/annotations/instances_train.json")
val_data = dict(**_set, annotations="bccd/annotations/instances_val.json")
test_data = dict(**_set, annotations="bccd/annotations/instances_test.json")
optimizer = dict(type="adamw", lr=1e-3, weight_decay=1e-2)
schedule = dict(type="one_cycle")
epochs = 60
batch_size = 8
engine = dict(amp=True, clip=10.0, workers=2, flip_test=True, eval_every=10)
