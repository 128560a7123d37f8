"""Blood cells, 205 images of three classes to train on: what the configs `*_bccd.py` share. No config by itself.

bccd/ is the BCCD data set (https://github.com/Shenggan/BCCD_Dataset) with its boxes as COCO JSON: 640×480 images, at
most 30 cells each, most of their sides 16 to 116 pixels at half the size. Some red cells are not annotated.
"""

encoder = dict(type="NewellStem", channels=64)
warp = dict(size=(240, 320), padding=1.0, scale=(0.75, 1.25), shift=0.1, flip=0.5)
photometric = dict(gain=0.2)
_set = dict(type="CocoScenes", images="bccd/images")
train_data = dict(**_set, annotations="bccd/annotations/instances_train.json")
val_data = dict(**_set, annotations="bccd/annotations/instances_val.json")
test_data = dict(**_set, annotations="bccd/annotations/instances_test.json")
optimizer = dict(type="adamw", lr=2e-3, weight_decay=1e-2)
schedule = dict(type="one_cycle")
batch_size = 8
engine = dict(amp=True, clip=10.0, workers=2, flip_test=True)
