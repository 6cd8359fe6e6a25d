from engine.report.disparity_table import disparity_table


def table(*others):
    sums = {"none": {"conv1": [10.0, 12.0, 11.0]}, **{which: {"conv1": values} for which, values in others}}
    return disparity_table([sums], {which: which for which in sums}, {"conv1": 4}, "awgn 25")


def test_a_star_marks_a_difference_whose_interval_excludes_0_and_is_explained_where_there_is_one():
    lower = table(("most", [5.0, 7.1, 6.0]))
    assert [row[4].endswith(" *") for row in lower.rows if row] == [False, True]
    assert lower.caption == "* the interval excludes 0"
    alike = table(("most", [10.5, 11.0, 12.0]))
    assert not any("*" in row[4] for row in alike.rows if row)
    assert alike.caption == ""


def test_nothing_that_is_switched_has_no_share():
    sums = {"none": {"conv1": [0.0, 0.0]}, "most": {"conv1": [1.0, 2.0]}}
    found = disparity_table([sums], {which: which for which in sums}, {"conv1": 4}, "awgn 25")
    assert found.rows[1][3] == "–"
