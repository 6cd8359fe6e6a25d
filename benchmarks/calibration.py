"""How often verdicts claim what is not there, and find what is: simulated studies with the real noise of digits.

The noise is that of plain networks of the default space, each trained on a seed of its own (``digits_noise.csv``: test
errors of each, written by ``--measure``). A simulated study draws a network for every arm and seed, so that no arm has
an effect, and asks for its verdicts as any study does. With an effect planted, one arm's errors are lower by the
smallest effect that the dry run states (``--dry-run``, in standard deviations of a paired difference), or by what an
earlier study of the same kind stated by its own spread. Intervals are Clopper and Pearson's, 95 %.

Of 1,000 studies without an effect, in how many there is a star, and of 500 with one of the size that is stated, in how
many it is found, in percent (64 networks; 5 minutes on two cores of x86_64 beside other work):

    family                                   comparisons   star, no effect    found: stated before   by a study
    one comparison, 6 seeds                            1   3.0 [2.0, 4.3]     85.6 [82.2, 88.6]      86.6 [83.3, 89.5]
    the same on clean images                           1   1.7 [1.0, 2.7]     84.8 [81.3, 87.8]      86.4 [83.1, 89.3]
    push-pull-by-selective, 8 seeds                    6   2.6 [1.7, 3.8]     86.0 [82.6, 88.9]      86.2 [82.9, 89.1]
    filter-parts, 8 seeds                              9   2.2 [1.4, 3.3]     83.6 [80.1, 86.7]      86.0 [82.6, 88.9]
    filter-parts, 6 seeds, on clean images too        18   4.3 [3.1, 5.7]     86.6 [83.3, 89.5]      87.4 [84.2, 90.2]
    all                                                    2.8 [2.3, 3.3]

The truth, no effect, is beyond the bound that a verdict states ("no effect larger than … could have been missed") in
3.5 to 5.3 % of the studies. While sign flips needed a p of 0.05 only, not their share of it, the third family had a
star in 5.5 % [4.5, 6.5] of 2,000 studies without an effect.

Run: python -m benchmarks.calibration [--studies 1000]; --measure 64 trains the networks anew (minutes)
"""

from __future__ import annotations

import argparse
import csv
import itertools
import math
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy.stats import binomtest

from benchmarks.machine import describe_machine
from engine.corruption_kinds import ALL, CLEAN
from engine.metrics.inference import smallest_effect
from engine.report.results import Results
from engine.report.trial_results import TrialResult
from engine.report.verdicts import Finding, findings
from engine.spaces import Arm, Comparison, Space, load_space

NOISE = Path(__file__).with_name("digits_noise.csv")
SEVERITY = 3

Network = Mapping[str, float]
"""{"clean" or a corruption: test error, a fraction}."""


@dataclass(frozen=True)
class Design:
    """A space whose family is tried, and which of its comparisons has an effect where one is planted.

    Attributes:
        name: in the output.
        space: with the family.
        planted: number of a finding.
        arms: the arms whose errors the effect lowers.
    """

    name: str
    space: Space
    planted: int
    arms: tuple[str, ...]


def designs() -> list[Design]:
    """Return families of different sizes and kinds, from one comparison to eighteen."""
    arms = (Arm("plain", {}), Arm("push-pull", {"push_pull.where": "first"}))
    alone = Space(name="alone", arms=arms, comparisons=(Comparison("push-pull", "plain"),))
    clean = replace(alone, comparisons=(Comparison("push-pull", "plain", (CLEAN,)),))
    parts, crossed = load_space("filter-parts"), load_space("push-pull-by-selective")
    both = replace(parts, ablations=tuple(replace(one, outcomes=(ALL, CLEAN)) for one in parts.ablations))
    return [
        Design("one comparison, 6 seeds", alone, 0, ("push-pull",)),
        Design("one comparison on clean images, 6 seeds", clean, 0, ("push-pull",)),
        Design(f"{crossed.name}, 8 seeds", crossed, 0, ("push-pull", "push-pull + tuning")),
        Design("filter-parts, 8 seeds", parts, 3, ("choices: distance=l2",)),
        Design("filter-parts, 6 seeds, clean too", replace(both, n_seeds=6), 6, ("choices: distance=l2",)),
    ]


def networks() -> list[Network]:
    """Return the errors of the networks that were trained."""
    with NOISE.open() as file:
        return [{name: float(value) for name, value in row.items() if name != "seed"} for row in csv.DictReader(file)]


def simulated(
    space: Space, pool: Sequence[Network], rng: np.random.Generator, effects: Mapping[str, float] | None = None
) -> Results:
    """Return a study whose arms are networks drawn at random.

    Args:
        space: with the arms.
        pool: what is drawn from.
        rng: draws.
        effects: {arm: what is added to all its errors}.
    """
    trials = []
    for arm in space.arms:
        shift = (effects or {}).get(arm.name, 0.0)
        for seed in range(space.n_seeds):
            network = pool[rng.integers(len(pool))]
            trials.append(_trial(len(trials), arm.name, seed, {name: error + shift for name, error in network.items()}))
    return Results("simulated", space, tuple(trials))


def _trial(number: int, group: str, seed: int, network: Network) -> TrialResult:
    rows = [
        {"corruption": name, "severity": SEVERITY, "error": error} for name, error in network.items() if name != CLEAN
    ]
    errors = {"objective": 0.5, "test": {"clean": network[CLEAN], "corrupted": rows, "tuned_distortion": None}}
    return TrialResult(number, f"arm/{group}/{seed}", group, seed, "COMPLETE", {}, 0.5, errors, None, {})


def claims(
    design: Design, pool: Sequence[Network], n_studies: int, *, seed: int, effect: Callable[[], float] | None = None
) -> Iterator[list[Finding]]:
    """Yield the findings of simulated studies, with an effect planted if one is given."""
    rng = np.random.default_rng(seed)
    for _ in range(n_studies):
        shifts = dict.fromkeys(design.arms, -effect()) if effect is not None else {}
        yield findings(simulated(design.space, pool, rng, shifts))


def stated_beforehand(design: Design, pool: Sequence[Network]) -> float:
    """Return the smallest effect that is stated before a study, a fraction, with the true spread of its noise."""
    spread, n_family = true_spread(design, pool), len(_null(design, pool))
    return smallest_effect(design.space.n_seeds, n_family) * spread


def true_spread(design: Design, pool: Sequence[Network]) -> float:
    """Return the standard deviation of the planted comparison's values: networks are drawn independently."""
    found = _null(design, pool)[design.planted]
    names = [name for name in pool[0] if name != CLEAN]
    errors = [
        network[CLEAN] if found.outcome == CLEAN else sum(network[n] for n in names) / len(names) for network in pool
    ]
    return float(np.std(errors)) * math.sqrt(sum(weight**2 for weight in found.contrast.weights.values()))


def _null(design: Design, pool: Sequence[Network]) -> list[Finding]:
    return findings(simulated(design.space, pool, np.random.default_rng(0)))


def false_claims(design: Design, pool: Sequence[Network], n_studies: int, *, seed: int = 1) -> tuple[int, int]:
    """Return in how many null studies there is a star, and in how many an effect of 0 is beyond a stated bound."""
    found = [
        (any(one.is_starred for one in study), any(_beyond(one) for one in study))
        for study in claims(design, pool, n_studies, seed=seed)
    ]
    return sum(starred for starred, _ in found), sum(beyond for _, beyond in found)


def _beyond(one: Finding) -> bool:
    """Return whether the interval of the family does not hold the truth, 0."""
    assert one.evidence is not None
    return one.bound < 2 * abs(one.evidence.mean)


def found_claims(
    design: Design, pool: Sequence[Network], n_studies: int, *, by_a_study: bool = False, seed: int = 2
) -> int:
    """Return in how many studies the planted effect is shown, in its direction.

    Args:
        design: what is tried.
        pool: the noise.
        n_studies: how many are simulated.
        by_a_study: whether the effect is what an earlier study stated by its own spread, a new one each time.
        seed: of the draws.
    """
    beforehand = stated_beforehand(design, pool)
    rng = np.random.default_rng(seed + 1000)

    def of_a_study() -> float:
        return findings(simulated(design.space, pool, rng))[design.planted].detectable

    effect = of_a_study if by_a_study else lambda: beforehand
    studies = claims(design, pool, n_studies, seed=seed, effect=effect)
    return sum(_is_found(study[design.planted]) for study in studies)


def _is_found(one: Finding) -> bool:
    return one.is_starred and one.evidence is not None and one.evidence.mean < 0


def share(count: int, n: int) -> str:
    """Return a share in percent with its interval."""
    interval = binomtest(count, n).proportion_ci(0.95)
    return f"{count / n:.1%} [{interval.low:.1%}, {interval.high:.1%}]"


def measure(n_networks: int) -> None:
    """Train plain networks of the default space and write down their errors."""
    with ProcessPoolExecutor() as pool:
        rows = list(pool.map(_train, range(n_networks)))
    with NOISE.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def _train(seed: int) -> dict[str, float]:
    """Return the test errors of a network: clean, and the mean over severities under each corruption."""
    import torch

    from engine.metrics import mean_by_corruption
    from engine.metrics.scores import rows_to_table
    from engine.stages import data_getter, plan_trial, prepare_data, run_chain
    from engine.store import Store

    torch.set_num_threads(1)
    space = load_space("push-pull")
    config = space.config({"push_pull.where": "none", "finetune.which": "none"}, seed=10_000 + seed)
    with tempfile.TemporaryDirectory() as folder:
        store, device = Store(folder), torch.device("cpu")
        info, _ = prepare_data(config.data, store)
        *_, last = run_chain(plan_trial(config, info), store, data_getter(info, store, device), device=device)
        test = last.artifact.json("errors")["test"]
    return {"seed": config.seed, CLEAN: test["clean"], **mean_by_corruption(rows_to_table(test["corrupted"]))}


def main() -> None:
    """Print what came out for each family."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--studies", type=int, default=1000, help="simulated studies of each kind")
    parser.add_argument("--measure", type=int, metavar="N", help="train so many networks first, for the noise")
    options = parser.parse_args()
    print(describe_machine())
    if options.measure:
        measure(options.measure)
    print(f"{len(networks())} networks; {options.studies} studies without an effect of each kind, and as many with")
    with ProcessPoolExecutor() as workers:
        n_starred, n_null = 0, 0
        for starred, text in workers.map(tried, designs(), itertools.repeat(options.studies)):
            print(text, flush=True)
            n_starred, n_null = n_starred + starred, n_null + options.studies
    print(f"all of them: a star without an effect in {share(n_starred, n_null)} of {n_null} studies")


def tried(design: Design, n: int) -> tuple[int, str]:
    """Return how many claims of a family are false, and in words how often, and how often true ones are made.

    Args:
        design: what is tried.
        n: studies without an effect, and with one: half of them with one that is stated beforehand.
    """
    pool, half = networks(), n // 2
    starred, beyond = false_claims(design, pool, n)
    before, by_a_study = (found_claims(design, pool, half, by_a_study=by_a_study) for by_a_study in (False, True))
    return starred, (
        f"{design.name}, {len(_null(design, pool))} comparisons\n"
        f"  no effect: a star in {share(starred, n)}, the truth beyond a bound in {share(beyond, n)}\n"
        f"  an effect planted: of {100 * stated_beforehand(design, pool):.1f} points, as stated beforehand, found in "
        f"{share(before, half)}; as another study stated it, in {share(by_a_study, half)}"
    )


if __name__ == "__main__":
    main()
