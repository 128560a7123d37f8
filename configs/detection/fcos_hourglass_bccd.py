"""FCOS of torchvision's on blood cells, three classes of them, 205 images to train on.

fcos_hourglass_bccd.py and fcos_fpn_bccd.py differ in one line, the neck; stem, levels (strides 8, 16 and 32, for cells
of 15 to 130 pixels), width and detector are the same. Meant for up to 20 minutes on 2 CPU cores. bccd/ is the BCCD data
set (https://github.com/Shenggan/BCCD_Dataset) with its boxes as COCO JSON.

densezoo train configs/detection/fcos_hourglass_bccd.py --work-dir runs/fcos_hourglass
densezoo train configs/detection/fcos_fpn_bccd.py --work-dir runs/fcos_fpn
densezoo test configs/detection/fcos_fpn_bccd.py runs/fcos_fpn/checkpoints/best.pt --flip-test --baseline
"""

encoder = dict(type="NewellStem", channels=64)
neck = dict(type="StackedHourglass", num_stages=1, num_levels=5, channels=64)
tasks = dict(boxes=dict(type="Boxes", num_classes=3))
detector = dict(type="FCOS", levels=[1, 2, 3], score_thresh=0.05)
warp = dict(size=(240, 320), padding=1.0, scale=(0.75, 1.25), shift=0.1, flip=0.5)
photometric = dict(gain=0.2)
_set = dict(type="CocoScenes", images="bccd/images")
train_data = dict(**_set, annotations="bccd/annotations/instances_train.json")
val_data = dict(**_set, annotations="bccd/annotations/instances_val.json")
test_data = dict(**_set, annotations="bccd/annotations/instances_test.json")
optimizer = dict(type="adamw", lr=1e-3, weight_decay=1e-2)
schedule = dict(type="one_cycle")
epochs = 120
batch_size = 8
engine = dict(amp=True, clip=10.0, workers=2, flip_test=True, eval_every=12)
