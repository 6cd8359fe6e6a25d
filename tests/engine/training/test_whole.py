import copy

import pytest
import torch
import torch.nn.functional as F

from engine.models import build_model
from engine.training import WholeNetwork, apply_changes

IMAGES = torch.rand(6, 1, 8, 8, generator=torch.Generator().manual_seed(0))


def make_network():
    torch.manual_seed(1)
    return build_model("resnet-8", num_classes=4, in_channels=1, image_size=8, width=4).eval()


@pytest.mark.parametrize(
    ("batch_norm", "still"),
    [
        ("frozen", ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")),
        ("affine", ("running_mean", "running_var", "num_batches_tracked")),
        ("full", ()),
    ],
)
def test_the_policy_says_what_of_batch_norm_moves(batch_norm, still):
    network = make_network()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    fresh = copy.deepcopy(network)
    module = WholeNetwork(network, batch_norm=batch_norm).train()
    optimizer = torch.optim.SGD([p for p in module.parameters() if p.requires_grad], lr=0.1)
    F.cross_entropy(module(IMAGES), torch.arange(6) % 4).backward()
    optimizer.step()
    module.eval()
    after = network.state_dict()
    moved = {name for name, value in after.items() if not torch.equal(before[name], value)}
    norms = {name for name in after if ".bn" in name or name.startswith("bn") or "downsample.1" in name}
    fixed = {name for name in norms if name.rpartition(".")[2] in still} | {
        name for name in after if name.startswith("normalise")
    }
    assert moved == set(after) - fixed
    parameters = dict(network.named_parameters())
    assert set(module.tuned_names) == moved & set(parameters)
    assert torch.equal(apply_changes(fresh, module.changes()).eval()(IMAGES), module(IMAGES))
