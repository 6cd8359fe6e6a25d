import torch
from matplotlib.colors import to_rgba

from engine.figures.borda_bars import CHOSEN, PLAIN, SHARED, borda_figure
from engine.ranking import rank_filters


def test_bars_are_points_per_image_and_colours_the_most_affected():
    one = rank_filters(torch.tensor([[4.0, 3.0, 2.0, 1.0], [4.0, 3.0, 2.0, 1.0]]))
    other = rank_filters(torch.tensor([[4.0, 1.0, 2.0, 3.0]]))
    figure = borda_figure({"awgn 25": {"conv1": one}, "blur 1": {"conv1": other}}, {"conv1": 2}, "title")
    above, below = figure.axes
    assert [bar.get_height() for bar in above.patches] == [10, 9, 8, 7]  # of two images, 20 to 14 points
    for axis, colours in ((above, (SHARED, CHOSEN, PLAIN, PLAIN)), (below, (SHARED, PLAIN, PLAIN, CHOSEN))):
        assert [bar.get_facecolor() for bar in axis.patches] == [to_rgba(colour) for colour in colours]


def test_one_distortion_shares_nothing_and_other_rules_show_their_own_scores():
    ranking = rank_filters(torch.tensor([[4.0, 2.0], [6.0, 3.0]]), rule="mean_distance")
    (axis,) = borda_figure({"blur 1": {"conv1": ranking}}, {"conv1": 1}, "title").axes
    assert [bar.get_height() for bar in axis.patches] == [5.0, 2.5]
    assert [bar.get_facecolor() for bar in axis.patches] == [to_rgba(CHOSEN), to_rgba(PLAIN)]
    assert "mean_distance" in axis.get_ylabel()
