"""CornerNet on the people of a COCO val2017 subset that `tools/make_coco_person.py` rebuilds: 978 images to train on.

Two small hourglasses and the corner head of corners_hourglass_bccd.py. Meant for about half an hour on 2 CPU cores.

densezoo train configs/detection/corners_hourglass_coco_person.py --work-dir runs/corners_person
"""

encoder = dict(type="NewellStem", channels=64)
neck = dict(type="StackedHourglass", num_stages=2, num_levels=5, channels=64)
tasks = dict(boxes=dict(type="Corners", num_classes=1, head=dict(type="Corner", channels=64, pool_channels=32)))
warp = dict(size=(256, 256), padding=1.0, scale=(0.75, 1.5), shift=0.1, flip=0.5)
photometric = dict(gain=0.4)
_set = dict(type="CocoScenes", images="coco_person/images")
_train = "coco_person/annotations/person_train.json"
train_data = dict(**_set, annotations=_train, subset=dict(folds=10, drop=[0]))
val_data = dict(**_set, annotations=_train, subset=dict(folds=10, keep=[0]))
test_data = dict(**_set, annotations="coco_person/annotations/person_test.json")
optimizer = dict(type="adamw", lr=2e-3, weight_decay=1e-2)
schedule = dict(type="one_cycle")
epochs = 26
batch_size = 8
engine = dict(amp=True, clip=10.0, workers=2, flip_test=True, eval_every=13)
