import numpy as np
import pytest
import torch
from scipy import ndimage
from scipy.sparse import csr_array
from scipy.sparse.csgraph import dijkstra

from engine.corruptions.edges import box_sum, canny, chamfer_distance, equalize_histogram


def _shortest_paths(targets):
    """Distances by Dijkstra over the moves of the chamfer mask."""
    height, width = targets.shape
    moves = [(0, 1, 65536), (1, 0, 65536), (1, 1, 91750), (1, -1, 91750)]
    moves += [(a, b, 143976) for a, b in [(1, 2), (2, 1), (1, -2), (2, -1)]]
    rows, columns, costs = [], [], []
    for y, x in np.ndindex(height, width):
        for down, right, cost in moves:
            if 0 <= y + down < height and 0 <= x + right < width:
                rows.append(y * width + x)
                columns.append((y + down) * width + x + right)
                costs.append(cost)
    graph = csr_array((costs, (rows, columns)), shape=(height * width,) * 2)
    found = dijkstra(graph, directed=False, indices=np.flatnonzero(targets), min_only=True)
    return found.reshape(height, width)


@pytest.mark.parametrize("share", [0.003, 0.03, 0.3])
def test_chamfer_distance_is_the_shortest_path(share):
    generator = np.random.default_rng(0)
    targets = generator.random((3, 24, 19)) < share
    targets[:, 5, 7] = True
    found = chamfer_distance(torch.from_numpy(targets))
    for image, expected in zip(found, targets, strict=True):
        np.testing.assert_array_equal(image, _shortest_paths(expected))


def test_chamfer_distance_without_target_is_far():
    assert int(chamfer_distance(torch.zeros(1, 6, 6, dtype=torch.bool)).min()) >= 1 << 27


def test_canny_finds_a_step_and_drops_weak_edges_alone():
    image = torch.zeros(1, 8, 8, dtype=torch.int64)
    image[..., 4:] = 100
    edges = canny(image, 50, 150)
    # The gradient is as strong in both columns beside the step; the left one comes first.
    assert edges[0].nonzero()[:, 1].unique().tolist() == [3]
    assert edges[0, :, 3].all()
    image[image > 0] = 30
    assert not canny(image, 50, 150).any()


def test_canny_keeps_weak_edges_that_hang_on_strong_ones():
    image = torch.zeros(1, 10, 8, dtype=torch.int64)
    image[..., 4:] = torch.arange(44, 24, -2).unsqueeze(1)
    assert canny(image, 50, 150)[0, :, 3:5].any(dim=1).all()
    assert not canny(image[:, 5:], 50, 150).any()


def test_box_sum_is_scipys():
    image = np.random.default_rng(0).integers(0, 256, (2, 7, 9))
    expected = ndimage.correlate(image, np.ones((1, 3, 3), dtype=int), mode="mirror")
    np.testing.assert_array_equal(box_sum(torch.from_numpy(image)), expected)


def test_equalize_histogram_by_hand():
    image = torch.tensor([[[3, 3, 5], [5, 9, 9]], [[4, 4, 4], [4, 4, 4]]])
    # Of the four pixels above the lowest value, two are at most 5: 255·2/4 = 127.5 → 128.
    assert equalize_histogram(image).tolist() == [[[0, 0, 128], [128, 255, 255]], [[4, 4, 4], [4, 4, 4]]]
