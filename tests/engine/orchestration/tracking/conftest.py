"""The tracker that the documents show is held by the same tests as the project's own."""

from tests.documents import bring_module

bring_module("my_tracker")
