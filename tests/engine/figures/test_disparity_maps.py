import torch

from engine.figures.disparity_maps import disparity_figure


def test_heat_maps_of_a_layer_share_their_colours_and_say_their_sums():
    maps = {"baseline": {"conv1": torch.tensor([[1, 2], [3, 4]])}, "most": {"conv1": torch.tensor([[0, 0], [0, 1000]])}}
    images = {"clean": torch.zeros(3, 4, 4, dtype=torch.uint8)}
    figure = disparity_figure(images, maps, {"conv1": 1024}, "title")
    shown = {axis.get_title(): axis for axis in figure.axes if axis.get_visible()}
    assert {"clean", "conv1\nbaseline (10)", "most (1,000)"} <= set(shown)
    for title in ("conv1\nbaseline (10)", "most (1,000)"):
        assert shown[title].images[0].get_clim() == (0, 1000)
