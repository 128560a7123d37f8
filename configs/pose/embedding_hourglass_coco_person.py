"""Associative embedding on the people of a COCO subset: whole images, without boxes, two small hourglasses.

Heat is not learned on crowds and on people without labelled joints, by their masks. For the weights see
embedding_hourglass_synthetic.py. Meant for about half an hour on 2 CPU cores.

densezoo train configs/pose/embedding_hourglass_coco_person.py --work-dir runs/embedding_person
"""

_base_ = "../detection/_coco_person.py"
neck = dict(feedback=["people.heatmaps", "people.tags"])
tasks = dict(
    people=dict(
        type="AssociativeEmbedding",
        num_keypoints=17,
        target="unbiased",
        sigma=1.0,
        foreground=10.0,
        tag_weight=0.2,
        refine="dark",
        metrics=[
            dict(type="KeypointAP"),
            dict(type="PCK", normalizer="torso", threshold=0.2),
            dict(type="PCK", normalizer="box", threshold=0.1),
        ],
    )
)
train_data = dict(keypoint_shift=0.5, masks=True)
val_data = dict(keypoint_shift=0.5)
test_data = dict(keypoint_shift=0.5)
epochs = 40
engine = dict(eval_every=20)
