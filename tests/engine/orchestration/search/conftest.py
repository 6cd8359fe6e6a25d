"""The sampler and the pruner that the documents show are held by the same tests as the project's own."""

from tests.documents import bring_module

bring_module("my_search")
