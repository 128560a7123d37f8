"""People of a COCO val2017 subset that `tools/make_coco_person.py` rebuilds: what the configs `*_coco_person.py` share.

No config by itself. 978 images to train on, a tenth of which chooses the checkpoint, and 256 to test on.
"""

encoder = dict(type="NewellStem", channels=64)
neck = dict(type="StackedHourglass", num_stages=2, num_levels=5, channels=64)
warp = dict(size=(256, 256), padding=1.0, scale=(0.75, 1.5), shift=0.1, flip=0.5)
photometric = dict(gain=0.4)
_set = dict(type="CocoScenes", images="coco_person/images")
_train = "coco_person/annotations/person_train.json"
train_data = dict(**_set, annotations=_train, subset=dict(folds=10, drop=[0]))
val_data = dict(**_set, annotations=_train, subset=dict(folds=10, keep=[0]))
test_data = dict(**_set, annotations="coco_person/annotations/person_test.json")
optimizer = dict(type="adamw", lr=2e-3, weight_decay=1e-2)
schedule = dict(type="one_cycle")
batch_size = 8
engine = dict(amp=True, clip=10.0, workers=2, flip_test=True)
