"""The report's page of 1,000 trials × 95 cells: how long it takes, how large it is, beside matplotlib's figures as SVG.

The page has a dozen figures, their data and every table. The alternative, in the same run, is one of its figures alone
as matplotlib writes it: errors by severity, a panel a corruption, of the same groups and seeds.

Measured on two cores: the page 0.49 s and 1.79 MB, matplotlib's one figure 0.76 s and 0.36 MB: 0.64 of its time, with
twelve figures and all data. scipy's and statsmodels' imports, once in a process, are not in it: 1 to 2 s.

Run: python -m benchmarks.page [--trials 1000]
"""

from __future__ import annotations

import argparse
import io
import time

from matplotlib.figure import Figure

from benchmarks.machine import describe_machine
from engine.report.page.report_page import as_page
from engine.report.page.severity_figures import cells_of
from engine.report.page.stored_values import StoredValues
from engine.report.results import Results
from tests.engine.report.page.large import large_study


def by_matplotlib(results: Results) -> str:
    """Return the errors by severity as SVG, drawn by matplotlib."""
    tested = results.tested
    figure = Figure(figsize=(13, 3 * -(-len(tested) // 4)))
    for axis, name in zip(figure.subplots(-(-len(tested) // 4), 4).ravel(), tested, strict=False):
        for group in results.groups():
            cells = cells_of(group, tested)
            severities = sorted({at for _, at in cells.errors})
            axis.plot(severities, [cells.mean(name, at) for at in severities])
            for at in severities:
                axis.plot([at] * len(cells.errors[name, at]), cells.errors[name, at], "o")
        axis.set_title(name)
    text = io.StringIO()
    figure.savefig(text, format="svg")
    return text.getvalue()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=1000)
    n_trials = parser.parse_args().trials
    print(describe_machine())
    results = large_study(n_trials)
    stored = StoredValues(seconds={key: 2.0 for trial in results.trials for key in trial.stages.values()})
    as_page(large_study(30), stored)  # what is imported once
    by_matplotlib(large_study(20))
    found = {}
    for name, make in (("page", lambda: as_page(results, stored)), ("one figure", lambda: by_matplotlib(results))):
        clock, processor = time.perf_counter(), time.process_time()
        size = len(make().encode())
        found[name] = time.process_time() - processor, size
        print(f"{name}: {time.perf_counter() - clock:.2f} s ({found[name][0]:.2f} s of a core), {size / 1e6:.2f} MB")
    seconds, sizes = zip(*found.values(), strict=True)
    print(f"page by figure: {seconds[0] / seconds[1]:.2f} of the time, {sizes[0] / sizes[1]:.2f} of the size")


if __name__ == "__main__":
    main()
