"""Where two implementations of CornerNet differ: the published code, and its port in mmdetection.

https://github.com/princeton-vl/CornerNet and https://github.com/open-mmlab/mmdetection.

| | `'mmdet'` | `'published'` |
|---|---|---|
| objects are clipped to | the image, 0 to W | the indices of its pixels, 0 to W - 1 |
| loss of offsets | mean over cells; where objects share one, the last one's offset | mean over objects |
| heat | every logit learns | probabilities beyond 0.0001 and 0.9999 learn nothing |
| divisors of pull, push, offset | counts, at least 1 | counts + 0.0001 |
| push of an image with one object | 0 | a constant, 0.9999 |
| soft-NMS | boxes as they are | a pixel added to widths and heights |

Both take a cell for its share of the image's side, which is `cells='image'` of the task and not its default; they are
followed in that, too, only where that is asked for, or the stride divides the sides.
"""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Rules:
    """Where two implementations of CornerNet differ.

    Attributes:
        edge: pixels by which an object's box must stay away from the image's right and bottom edge.
        each_object: every object's offset is learned, also where several share a cell.
        logit_limit: of the heat that still learns.
        slack: added to the divisors of the losses of offsets and embeddings.
        border: pixels that soft-NMS adds to widths and heights.
    """

    edge: int
    each_object: bool
    logit_limit: float
    slack: float
    border: int


RULES = {
    "mmdet": Rules(edge=0, each_object=False, logit_limit=math.inf, slack=0.0, border=0),
    "published": Rules(edge=1, each_object=True, logit_limit=math.log(0.9999 / 0.0001), slack=1e-4, border=1),
}
