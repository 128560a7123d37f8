"""Associative embedding: everybody in a drawn scene at once, from heatmaps and tags of all joints.

The same people, encoder and schedule as in centers_hourglass_synthetic.py, and feedback in the neck. Heat is learned by
the focal loss, which takes far fewer steps than the paper's, and tags weigh much more than there: with little weight
all of them stay the same for long, since the push of equal tags has no direction. Measured on one core of an Intel Xeon
(AMX bf16): 11 minutes of training, OKS AP 0.799 on the test split with flip test.

densezoo train configs/pose/embedding_hourglass_synthetic.py --work-dir runs/synthetic_embedding
"""

encoder = dict(type="NewellStem", channels=64)
neck = dict(type="StackedHourglass", num_stages=2, feedback=["people.heatmaps", "people.tags"])
tasks = dict(
    people=dict(
        type="AssociativeEmbedding",
        num_keypoints=17,
        loss="focal",
        sigma=1.0,
        tag_weight=1.0,
        metrics=[dict(type="KeypointAP"), dict(type="PCK", normalizer="torso", threshold=0.2)],
    )
)
warp = dict(size=(128, 128), padding=1.0, scale=(0.85, 1.15), rotation=10, flip=0.5)
photometric = dict(gain=0.2)
_set = dict(type="Synthetic", view="scenes", difficulty=0.0, max_people=3)
train_data = dict(**_set, split="train", num_images=2000)
val_data = dict(**_set, split="val", num_images=200)
test_data = dict(**_set, split="test", num_images=400)
optimizer = dict(type="adamw", lr=3e-3, weight_decay=1e-2)
schedule = dict(type="one_cycle")
epochs = 20
batch_size = 16
engine = dict(amp=True, workers=1, eval_every=20, flip_test=True)
