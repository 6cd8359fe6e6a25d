from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.s3 import S3, Proxy, set_variables


@pytest.fixture
def s3(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> S3:
    """Return a bucket of its own on a server of this process."""
    made = S3()
    set_variables(monkeypatch, made.url, tmp_path / "cache")
    return made


@pytest.fixture
def proxy(s3: S3, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """Put a proxy before the server."""
    made = Proxy()
    monkeypatch.setenv("AWS_ENDPOINT_URL", made.url)
    yield made
    made.close()
