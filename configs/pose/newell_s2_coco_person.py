"""Two stacked hourglasses on the people of a COCO val2017 subset that `tools/make_coco_person.py` rebuilds.

Measured on 2 cores of an Intel Xeon (AMX bf16): 30 minutes of training, test OKS AP 0.246 with ground-truth boxes and
flip test; the mean pose scores 0.000. See docs/results.md.

densezoo train configs/pose/newell_s2_coco_person.py --work-dir runs/coco_person --cfg-options data_root=data
"""

encoder = dict(type="NewellStem", channels=64)
neck = dict(type="StackedHourglass", num_stages=2, feedback=["pose.heatmap"])
tasks = dict(
    pose=dict(
        type="Pose",
        num_keypoints=17,
        target="unbiased",
        joints="mask",
        loss="cross_entropy",
        refine="dark",
        metrics=[
            dict(type="KeypointAP"),
            dict(type="PCK", normalizer="torso", threshold=0.2),
            dict(type="PCK", normalizer="box", threshold=0.1),
        ],
    )
)
warp = dict(size=(160, 128), padding=1.25, scale=(0.75, 1.25), rotation=30, flip=0.5)
photometric = dict(gain=0.4)
_set = dict(type="CocoPose", images="coco_person/images", keypoint_shift=0.5)
_train = "coco_person/annotations/person_train.json"
train_data = dict(**_set, annotations=_train, subset=dict(folds=10, drop=[0]))
val_data = dict(**_set, annotations=_train, subset=dict(folds=10, keep=[0]))
test_data = dict(**_set, annotations="coco_person/annotations/person_test.json")
optimizer = dict(type="adamw", lr=4e-3, weight_decay=1e-2)
schedule = dict(type="one_cycle")
epochs = 110
batch_size = 32
engine = dict(amp=True, workers=2, flip_test=True, eval_every=10)
