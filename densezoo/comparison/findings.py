"""Everything that is known of a study at one time: its runs, what they say, and how its units went."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from densezoo.comparison.conclusions import Comparison, Conclusions, conclude
from densezoo.comparison.ledger import DONE, LEDGER_FILES, Ledger, Record
from densezoo.comparison.prepared import Prepared
from densezoo.comparison.study import AGAIN, Study
from densezoo.comparison.study_results import ArmResults
from densezoo.comparison.units import LR, SEED, Unit, UnitResult, read_result, units_of


@dataclass(frozen=True)
class Findings:
    """All that a report is made of.

    Attributes:
        study: that was run.
        prepared: its matched configs.
        arms: their results, in the study's order.
        conclusions: drawn from those.
        records: name of a unit to its record; only of those that were begun.
        results: name of a unit to what it left, of those that are finished.
    """

    study: Study
    prepared: Prepared
    arms: list[ArmResults]
    conclusions: Conclusions
    records: dict[str, Record]
    results: dict[str, UnitResult]

    @property
    def base(self) -> ArmResults:
        """The results of what arms are compared with."""
        return self.arms[0]

    @property
    def compared(self) -> list[ArmResults]:
        """All arms but the base's repetition."""
        return [arm for arm in self.arms if arm.name != AGAIN]

    @property
    def with_base(self) -> list[Comparison]:
        """The comparisons with the base."""
        return [each for each in self.conclusions.comparisons if each.base == self.base.name]

    @property
    def units(self) -> dict[str, str]:
        """Name of every unit to how it went: `done`, or why it did not."""
        arms = {arm.name: arm for arm in self.arms}
        return {unit.name: self._how(unit, arms[unit.arm]) for unit in units_of(self.study)}

    @property
    def missing(self) -> dict[str, str]:
        """The units that are not done."""
        return {name: how for name, how in self.units.items() if how != "done"}

    @property
    def left_out(self) -> list[int]:
        """Numbers of pairs, ascending, with runs that are finished and not asked for."""
        done = [name.rpartition(f"/{SEED}-")[2] for name, record in self.records.items() if record.status == DONE]
        return sorted({int(number) for number in done if number.isdigit()} - {*self.study.seeds})

    def _how(self, unit: Unit, arm: ArmResults) -> str:
        if unit.value in (arm.tries if unit.kind == LR else arm.runs):
            return "done"
        record = self.records.get(unit.name)
        if record is None:
            return arm.failed.get(unit.name, "not begun")
        if record.status == DONE:
            return f"done, but its result.json is gone; without its {LEDGER_FILES} it runs again"
        return ": ".join([record.status, *filter(None, [arm.failed.get(unit.name, record.error)])])


def judge(study: Study, prepared: Prepared, arms: Sequence[ArmResults], work_dir: str | Path) -> Findings:
    """Draw conclusions from the runs of a study.

    Args:
        study: that they are of.
        prepared: its matched configs.
        arms: what was measured, in the study's order, see `read_results`.
        work_dir: of the study; its ledger tells how the units went.

    Raises:
        ConfigError: a broken record.
        DataError: runs were not scored on the same images.
    """
    conclusions = conclude(arms, study, prepared.higher_is_better)
    results = {unit.name: read_result(unit, work_dir) for unit in units_of(study)}
    known = {name: result for name, result in results.items() if result is not None}
    return Findings(study, prepared, list(arms), conclusions, Ledger(work_dir).records(), known)
