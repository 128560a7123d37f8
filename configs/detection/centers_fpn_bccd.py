"""Objects as points on blood cells: three classes, 205 images to train on. One of two configs that differ in the neck.

centers_hourglass_bccd.py has one hourglass, centers_fpn_bccd.py a feature pyramid network, on the same stem, with the
same number of levels, width and head. Meant for about 20 minutes on 2 CPU cores; bccd/ is the BCCD data set
(https://github.com/Shenggan/BCCD_Dataset) with its boxes as COCO JSON.

densezoo train configs/detection/centers_hourglass_bccd.py --work-dir runs/centers_hourglass
densezoo train configs/detection/centers_fpn_bccd.py --work-dir runs/centers_fpn
"""

encoder = dict(type="NewellStem", channels=64)
neck = dict(type="FPN", num_levels=5, channels=64, norm="batch", activation="relu")
tasks = dict(boxes=dict(type="Centers", num_classes=3, head=dict(type="Center", channels=64)))
warp = dict(size=(240, 320), padding=1.0, scale=(0.75, 1.25), shift=0.1, flip=0.5)
photometric = dict(gain=0.2)
_set = dict(type="CocoScenes", images="bccd/images")
train_data = dict(**_set, annotations="bccd/annotations/instances_train.json")
val_data = dict(**_set, annotations="bccd/annotations/instances_val.json")
test_data = dict(**_set, annotations="bccd/annotations/instances_test.json")
optimizer = dict(type="adamw", lr=2e-3, weight_decay=1e-2)
schedule = dict(type="one_cycle")
epochs = 200
batch_size = 8
engine = dict(amp=True, clip=10.0, workers=2, flip_test=True, eval_every=20)
