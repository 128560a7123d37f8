"""From heat and tags to people: how the maps of associative embedding are read.

Newell, Huang, Deng 2017, "Associative Embedding" (https://arxiv.org/abs/1611.05424, section 3.3), with the numbers of
its published code (https://github.com/princeton-vl/pose-ae-train). Positions are in cells, cell j spanning [j, j + 1].
Finding, refining and filling run on the maps' device; only the best candidates of each joint reach the CPU, where
they are assigned to people, joint by joint, by `scipy.optimize.linear_sum_assignment`.
Deviations: who is too far from a person to be assigned is equally far from all who are, so that a stranger at one end
of a line of tags does not push everybody on to their neighbour, as sums of distances let it; two candidates with the
same tag to the last bit are two people, where the code lets the second take the first's place; people that begin after
the limit is reached are not refused but ranked, and the best are kept; of equal neighbours only the last is a peak, and
peaks are found before heat is cut at 1; a missing joint is looked for by the root of the mean square of the distances
of tags in place of that of their sum, and a step between them outweighs any heat, as where people are found; a missing
joint is refined by its own rows, where the code takes the row of the number of joints for those further down.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from densezoo.functional.heatmaps import refine_points
from densezoo.types import Array

Refinement = Callable[[Tensor, Tensor, Tensor], Tensor]
_OUTWARDS = ("shoulder", "hip", "elbow", "wrist", "knee", "ankle")
# as in both published implementations: a step of 1 between tags outweighs any heat
_PER_TAG_STEP = 100.0
_REFUSED = 1e6  # the cost of all that is too far to be assigned


@dataclass(frozen=True)
class Candidates:
    """The best peaks of every joint, best first.

    Attributes:
        score: (N, K, M) heat, at most 1.
        points: (N, K, M, 2) x, y in cells.
        tags: (N, K, M, L), of one or more kinds of tags.
    """

    score: Tensor
    points: Tensor
    tags: Tensor


def joint_order(keypoint_names: Sequence[str]) -> list[int]:
    """Return the K indices of joints in the order of grouping: head and trunk, shoulders, hips, and on outwards.

    For COCO's joints it is the published code's.
    """
    ranks = [next((rank for rank, word in enumerate(_OUTWARDS) if word in name.lower()), -1) for name in keypoint_names]
    return sorted(range(len(ranks)), key=lambda joint: (ranks[joint], joint))


def peaks(maps: Tensor) -> Tensor:
    """Set all cells of (N, K, h, w) to 0 but the local maxima among their eight neighbours.

    Of equal neighbours the last by rows is one: where a joint lies between cells, that is the cell it is counted to.
    """
    padded = F.pad(maps, (1, 1, 1, 1), value=-torch.inf)
    rows = torch.maximum(torch.maximum(padded[..., :-2], padded[..., 1:-1]), padded[..., 2:])
    before = torch.maximum(rows[..., :-2, :], padded[..., 1:-1, :-2])
    after = torch.maximum(rows[..., 2:, :], padded[..., 1:-1, 2:])
    return maps.where((maps >= before) & (maps > after), 0.0)


def find_candidates(heat: Tensor, tags: Tensor, count: int, refine: Refinement) -> Candidates:
    """Find the best local maxima of every joint's heat.

    Args:
        heat: (N, K, h, w).
        tags: (L, N, K, h, w).
        count: M, how many; fewer where there are fewer cells.
        refine: how to improve on the cell's centre, see `refine_points`.
    """
    height, width = heat.shape[-2:]
    heat = heat.contiguous()
    score, place = peaks(heat).flatten(2).topk(min(count, height * width), 2)
    column, row = place % width, place // width
    points = torch.stack([column, row], -1) + 0.5 + refine_points(heat, column, row, refine)
    found = tags.flatten(3).gather(3, place.expand(len(tags), -1, -1, -1))
    return Candidates(score.clamp(max=1), points, found.permute(1, 2, 3, 0))


def group_by_tags(tags: Array, scores: Array, order: Sequence[int], min_score: float, max_distance: float) -> Array:
    """Say which candidates are whose, for one image.

    Joint by joint the candidates are assigned to the people found so far who are near enough, so that the rounded
    distances of their tags from each person's mean tag are least in sum, and among equal ones the scores highest. Who
    is left over begins a new person.

    Args:
        tags: (K, M, L).
        scores: (K, M).
        order: of the joints, K indices.
        min_score: candidates must score more; those whose tags are not finite are left out, too.
        max_distance: tags must be nearer to a person's than this; the root of the mean over L squared differences.

    Returns:
        (G, K) int64: of each person the index of the candidate for each joint, -1 for none, in the order in which they
        were found. Everybody has a joint; G may be 0.
    """
    tags = tags.astype(np.float64)
    known = (scores > min_score) & np.isfinite(tags).all(axis=-1)
    people = np.zeros((0, len(tags)), np.int64)
    total = np.zeros((0, tags.shape[2]))
    for joint in order:
        chosen = np.flatnonzero(known[joint])
        own = tags[joint, chosen]
        mean = total / (people >= 0).sum(axis=1, keepdims=True)
        distance = np.sqrt(np.square(own[:, None] - mean[None]).mean(axis=-1))
        near = distance < max_distance
        cost = np.where(near, np.round(distance) * _PER_TAG_STEP - scores[joint, chosen, None], _REFUSED)
        rows, columns = linear_sum_assignment(cost)
        taken = near[rows, columns]
        rows, columns = rows[taken], columns[taken]
        people[columns, joint] = chosen[rows]
        total[columns] += own[rows]
        new = np.setdiff1d(np.arange(len(chosen)), rows)
        begun = np.full((len(new), len(tags)), -1)
        begun[:, joint] = chosen[new]
        people, total = np.concatenate([people, begun]), np.concatenate([total, own[new]])
    return people


def fill_missing(heat: Tensor, tags: Tensor, own: Tensor, missing: Tensor, refine: Refinement) -> Tensor:
    """Find the joints that people lack: the cell with the tag nearest theirs, in whole steps, and there the most heat.

    Args:
        heat: (K, h, w).
        tags: (L, K, h, w).
        own: (G, L) mean tags of the people.
        missing: (G, K) bool, Q of them True.
        refine: see `find_candidates`.

    Returns:
        (Q, 3) x, y in cells and the heat there, 0 to 1, person by person.
    """
    width = heat.shape[-1]
    person, joint = missing.nonzero(as_tuple=True)
    squares = torch.zeros_like(heat[joint])
    for kind, mine in zip(tags, own.T, strict=True):
        squares += (kind[joint] - mine[person, None, None]).square()
    steps = (squares / len(tags)).sqrt().round()
    place = (heat[joint] - _PER_TAG_STEP * steps).flatten(1).argmax(1, keepdim=True)
    column, row = place % width, place // width
    points = torch.stack([column, row], -1) + 0.5 + refine_points(heat[joint], column, row, refine)
    score = heat[joint].flatten(1).gather(1, place).clamp(0, 1)
    return torch.cat([points[:, 0], score], 1)


def find_people(
    heat: Tensor,
    tags: Tensor,
    order: Sequence[int],
    count: int,
    min_score: float,
    max_distance: float,
    refine: Refinement,
) -> list[tuple[Array, Array]]:
    """Find everybody in every image.

    Args:
        heat: (N, K, h, w).
        tags: (L, N, K, h, w).
        order: of grouping, K indices.
        count: most people in one image, and candidates of each joint.
        min_score: see `group_by_tags`.
        max_distance: see `group_by_tags`.
        refine: see `find_candidates`.

    Returns:
        N pairs, best people first: (G, K, 3) float32 x, y in cells and heat, and (G,) float32 scores, the mean heat of
        the K joints, where those that were only filled in count 0.
    """
    found = find_candidates(heat, tags, count, refine)
    tables = torch.cat([found.points, found.score[..., None], found.tags], -1).float().cpu().numpy()
    joints = np.arange(heat.shape[1])
    answers = []
    for image, table in enumerate(tables):
        people = group_by_tags(table[..., 3:], table[..., 2], order, min_score, max_distance)
        values = np.where(people[..., None] >= 0, table[joints, people], 0.0)
        scores = values[..., 2].mean(axis=1)
        best = np.argsort(-scores, kind="stable")[:count]
        values, missing = values[best], people[best] < 0
        own = values[..., 3:].sum(axis=1) / (~missing).sum(axis=1, keepdims=True)
        keypoints = values[..., :3].astype(np.float32)
        if missing.any():
            theirs, lacking = (torch.from_numpy(array).to(heat.device) for array in (own, missing))
            keypoints[missing] = (
                fill_missing(heat[image], tags[:, image], theirs.float(), lacking, refine).cpu().numpy()
            )
        answers.append((keypoints, scores[best].astype(np.float32)))
    return answers
