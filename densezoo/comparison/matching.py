"""The width at which an arm costs what the base costs.

Cost grows with width, though not everywhere: a shortcut's convolution disappears where two widths meet, integers are
halved and rounded. So the widths next to where a bisection ends are looked at, too, and the nearest of all that were
seen is taken. Widths that the parts refuse (FCOS wants a multiple of 32) are passed over.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from densezoo.comparison.costs import cost_of, count, latencies
from densezoo.comparison.study import Match, apply_options
from densezoo.engine.config import RunConfig, flatten
from densezoo.errors import ConfigError, near_names
from densezoo.types import DatasetMeta

Width = int | list[int]

WIDEST = 64  # times the arm's own width; who needs more has asked for something else
NEIGHBOURS = 2  # steps on each side of where the bisection ends
TIMED_STEPS = 32  # of an arm's own width: less than that changes a latency by less than its noise
TIMED_AGAIN = 3  # the best widths by a first look, between which a second one decides
PARTS = ("encoder", "neck", "tasks", "detector")


@dataclass(frozen=True)
class Matched:
    """An arm at the width that was found.

    Attributes:
        config: of the arm at that width.
        width: at the match's key.
        cost: there, of the match's kind: a count, or milliseconds.
        ratio: that over the target.
    """

    config: RunConfig
    width: Width
    cost: float
    ratio: float


def match_width(
    arm: str, config: RunConfig, meta: DatasetMeta, target: float, match: Match, base: RunConfig | None = None
) -> Matched:
    """Find the width at which an arm's cost is nearest the target, be that within the match's tolerance or not.

    Args:
        arm: its name, for messages.
        config: of the arm. The search starts from the width that it has.
        meta: of the training set.
        target: the base's cost, by `cost_of`.
        match: what is matched, and the key of the width. Of several widths at that key the first is searched for, and
            the others are multiplied by the same factor and rounded.
        base: whose latency is measured again, in turns with those of the nearest widths, so that a drift of the machine
            meets all of them; not needed for other costs.

    Returns:
        The arm's own width where that hits the target. Latencies are searched for in steps of a 32nd of it.

    Raises:
        ConfigError: the arm has no width at the key, cannot be built with it, costs the same at another width, costs
            more than the target at the narrowest width, or less at 64 times its own.
    """
    search = _Search(arm, config, meta, target, match)
    if search.cost(search.start) != target:
        search.check_dependence()
        low, high = search.bracket()
        search.narrow_down(low, high)
    return search.best(base)


class _Search:
    """Costs of an arm at the widths that were asked for, each worked out once.

    Attributes:
        start: the arm's own width, or the first of them.
        seen: width to cost; None where the parts refuse it.
    """

    def __init__(self, arm: str, config: RunConfig, meta: DatasetMeta, target: float, match: Match) -> None:
        """Find the arm's own width and work out its cost.

        Raises:
            ConfigError: there is none at the key, or the arm cannot be built.
        """
        self.arm, self.config, self.meta, self.target, self.match = arm, config, meta, target, match
        self.own = _width_at(arm, config, match.width)
        self.start = self.own if isinstance(self.own, int) else self.own[0]
        self.step = max(self.start // TIMED_STEPS, 1) if match.cost == "latency" else 1
        try:
            self.seen: dict[int, float | None] = {self.start: cost_of(config, meta, match.cost)}
        except ConfigError as error:
            raise ConfigError(f"arm {arm!r}: {error}") from error

    def cost(self, width: int) -> float | None:
        """Return the cost at a width; None where the parts refuse it, or it is between two steps."""
        if (width - self.start) % self.step:
            return None
        if width not in self.seen:
            try:
                self.seen[width] = cost_of(self.config_at(width), self.meta, self.match.cost)
            except ConfigError:
                self.seen[width] = None
        return self.seen[width]

    def width_at(self, width: int) -> Width:
        """Return what stands at the key: the width, or as many as the arm has, by the factor of the first."""
        if isinstance(self.own, int):
            return width
        return [max(round(each * width / self.start), 1) for each in self.own]

    def config_at(self, width: int) -> RunConfig:
        """Return the arm's config at a width."""
        return apply_options(self.config, {self.match.width: self.width_at(width)}, f"arm {self.arm!r}")

    def check_dependence(self) -> None:
        """Check that another width has another cost.

        Raises:
            ConfigError: it has the same.
        """
        other = self._first(range(2 * self.start, 4 * self.start)) or self._first(range(self.start - 1, 0, -1))
        if other is None:
            raise self._refusal("the parts take no other width")
        # a latency is never the same twice
        kind = "macs" if self.match.cost == "latency" else self.match.cost
        if count(self.config, self.meta, kind) == count(self.config_at(other), self.meta, kind):
            raise self._refusal("the cost does not depend on it; give match another width")

    def bracket(self) -> tuple[int, int]:
        """Return a width that costs at most the target and a wider one that costs at least that.

        Raises:
            ConfigError: there is none in reach.
        """
        low = high = self.start
        while self._known(high) < self.target:
            low, limit = high, min(4 * high, WIDEST * self.start + 1)
            wider = self._first(range(2 * high, limit))
            if wider is None:
                raise self._refusal(f"even {WIDEST} times as wide it would cost less; give it a wider start")
            high = wider
        while self._known(low) > self.target:
            high = low
            narrower = self._first([*range(low // 2, 0, -1), *range(low // 2 + 1, low)])
            if narrower is None:
                raise self._refusal("narrower it cannot be; make the base wider")
            low = narrower
        return low, high

    def narrow_down(self, low: int, high: int) -> None:
        """Halve the way between two widths until none is left in between, and look at those around them."""
        while (middle := self._between(low, high)) is not None:
            if self._known(middle) < self.target:
                low = middle
            else:
                high = middle
        for width in range(max(low - NEIGHBOURS * self.step, 1), high + NEIGHBOURS * self.step + 1):
            self.cost(width)

    def best(self, base: RunConfig | None) -> Matched:
        """Return the nearest of all seen; of latencies the nearest few and the base's are measured once more."""
        target = self.target
        found = {width: cost for width, cost in self.seen.items() if cost is not None}
        ranked = sorted(found, key=lambda width: (abs(found[width] - self.target), width))
        if self.match.cost == "latency":
            nearest = ranked[:TIMED_AGAIN]
            configs = [self.config_at(width) for width in nearest]
            again = latencies([*configs, *([] if base is None else [base])], self.meta)
            if base is not None:
                target = again.pop()
            found |= dict(zip(nearest, again, strict=True))
            ranked = sorted(nearest, key=lambda width: abs(found[width] - target))
        width = ranked[0]
        cost = found[width]
        return Matched(self.config_at(width), self.width_at(width), cost, cost / target)

    def _known(self, width: int) -> float:
        cost = self.cost(width)
        assert cost is not None
        return cost

    def _first(self, widths: Iterable[int]) -> int | None:
        """Return the first width that the parts take."""
        return next((width for width in widths if self.cost(width) is not None), None)

    def _between(self, low: int, high: int) -> int | None:
        """Return the width that the parts take nearest the middle of two others."""
        return self._first(sorted(range(low + 1, high), key=lambda width: abs(2 * width - low - high)))

    def _refusal(self, reason: str) -> ConfigError:
        found = {width: cost for width, cost in self.seen.items() if cost is not None}
        costs = " and ".join(
            f"{in_words(self.match.cost, found[width])} at {self.match.width} = {self.width_at(width)}"
            for width in sorted({min(found), max(found)})
        )
        return ConfigError(
            f"arm {self.arm!r} cannot be matched to the base's {in_words(self.match.cost, self.target)}: it costs "
            f"{costs}, and {reason}, or leave the arm as it is with match=None"
        )


def in_words(kind: str, cost: float) -> str:
    """Return a cost of one of `COSTS` with its unit."""
    if kind == "latency":
        return f"{cost:.2f} ms"
    return f"{cost:,.0f} {'MACs' if kind == 'macs' else kind}"


def _width_at(arm: str, config: RunConfig, key: str) -> Width:
    """Return the width, or the widths, at a dotted key.

    Raises:
        ConfigError: there is nothing, or something else.
    """
    values = flatten(config.to_dict())
    widths = {name: found for name, value in values.items() if (found := _as_width(value))}
    if key in widths:
        return widths[key]
    near = near_names(key, [name for name in widths if name.split(".")[0] in PARTS])
    if key in values:
        raise ConfigError(
            f"arm {arm!r}: {key} is {values[key]!r}, and a width is a number from 1 on, or a list of them; give match "
            f"another width: {near}"
        )
    raise ConfigError(
        f"arm {arm!r} has no {key} to match; {near}; give the arm its width, as in "
        f"{{{key!r}: 64}}, or leave it as it is with match=None"
    )


def _as_width(value: object) -> Width | None:
    """Return a whole number from 1 on, or several as a list; None for anything else."""
    several = list(value) if isinstance(value, (list, tuple)) else [value]
    numbers = [each for each in several if isinstance(each, int) and not isinstance(each, bool) and each > 0]
    if not numbers or len(numbers) < len(several):
        return None
    return numbers if isinstance(value, (list, tuple)) else numbers[0]
