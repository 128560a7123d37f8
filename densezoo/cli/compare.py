"""Run a study: the same training with one thing swapped, over paired seeds, at matched cost, and what it shows.

Prints the answer and writes report.html, report.md, scores.csv and summary.json. Every run is a unit, a plain command
(--unit) that any machine with the same work dir may run; this command with --resume on a second machine shares the
work.

Example:
  densezoo compare configs/compare/fusion_synthetic.py --work-dir runs/fusion
  densezoo compare configs/compare/fusion_synthetic.py --work-dir runs/fusion --resume --seeds 8
"""

import argparse
import shlex
import sys
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from densezoo.cli.arguments import add_options, key_values

if TYPE_CHECKING:  # torch takes seconds to import, which --help should not
    from densezoo.comparison.study import Study
    from densezoo.comparison.units import Unit


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    parser.add_argument("config", metavar="CONFIG", help="a study, such as those in configs/compare")
    parser.add_argument("--work-dir", required=True, metavar="DIR", help="everything is written here; must be new")
    parser.add_argument("--resume", action="store_true", help="go on with the study in DIR; failed runs run again")
    parser.add_argument("--seeds", type=int, metavar="N", help="paired seeds, in place of what CONFIG says")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="runs at once, shared over GPUs (1)")
    parser.add_argument("--unit", metavar="ARM/KIND-VALUE", help="run just this one here, such as concat/seed-0")
    parser.add_argument(
        "--ray",
        nargs="?",
        const="",
        metavar="HOST:PORT",
        help="hand runs to a Ray cluster; without address a new one here",
    )
    parser.add_argument("--report-only", action="store_true", help="run nothing, write the report of what is there")
    parser.add_argument("--all-pairs", action="store_true", help="compare every arm with every other")
    add_options(parser, "override keys of the base's config for every arm, e.g. data_root=/data engine.workers=4")


def run(options: argparse.Namespace) -> int:
    """Run what is left of a study, and write its report."""
    from densezoo.comparison.compare import open_study, report_study, run_claimed
    from densezoo.comparison.prepared import check_same
    from densezoo.comparison.ray_jobs import import_ray
    from densezoo.comparison.report_words import answer_lines
    from densezoo.comparison.study_file import load_study
    from densezoo.comparison.unit_loop import check_jobs
    from densezoo.comparison.units import parse_unit
    from densezoo.errors import ConfigError

    check_jobs(options.jobs)  # before anything is written
    if options.report_only and options.unit is not None:
        raise ConfigError("--report-only runs nothing, and --unit runs one unit; take one of them out")
    if options.ray is not None:
        import_ray()
    study = load_study(options.config, options.cfg_options, options.seeds)
    if options.all_pairs:
        study = replace(study, all_pairs=True)
    unit = None if options.unit is None else parse_unit(options.unit, study)
    if options.report_only and not check_same(study, options.work_dir):
        raise ConfigError(f"{options.work_dir} holds no study to report on; run it first, without --report-only")
    goes_on = options.resume or options.report_only or unit is not None
    prepared = open_study(study, options.work_dir, goes_on, _say)
    if unit is not None:
        command = shlex.join(["densezoo", *_words(options, unit)])
        if not run_claimed(study, prepared, unit, options.work_dir, command):
            _say(f"{unit.name} is done already")
        return 0
    complete = options.report_only or _run_units(study, options)
    found, paths = report_study(study, prepared, options.work_dir)
    print("\n".join(answer_lines(found)))
    print(f"written to {options.work_dir}: {', '.join(path.name for path in paths.values())}")
    return 0 if complete else 1


def _run_units(study: "Study", options: argparse.Namespace) -> bool:
    """Run all units that are not done; returns whether all are now."""
    from densezoo.comparison.local_jobs import run_local
    from densezoo.comparison.ray_jobs import run_ray
    from densezoo.comparison.units import units_of

    if len(study.seeds) < 2:
        _say("with one seed nothing can be concluded; give --seeds 2 or more")
    units = units_of(study)
    given = (study, options.work_dir, units, options.jobs, partial(_command, options), _say, options.resume)
    outcome = run_local(*given) if options.ray is None else run_ray(*given, address=options.ray or None)
    return len(outcome.done) == len(units)


def _command(options: argparse.Namespace, unit: "Unit") -> list[str]:
    return [sys.executable, "-m", "densezoo.cli.main", *_words(options, unit)]


def _words(options: argparse.Namespace, unit: "Unit") -> list[str]:
    """Return what comes after `densezoo` in the command of one unit."""
    words = ["compare", options.config, "--work-dir", options.work_dir, "--unit", unit.name]
    words += [] if options.seeds is None else ["--seeds", str(options.seeds)]
    return words + (["--cfg-options", *key_values(options.cfg_options)] if options.cfg_options else [])


def _say(line: str) -> None:
    print(line, flush=True)
