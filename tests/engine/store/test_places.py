from pathlib import Path

import pytest

from engine.errors import InputError
from engine.store import Store, open_store
from engine.store.places import Address, folder_of, place_of

KINDS = [str, Path]
"""A path makes s3:/bucket of s3://bucket."""


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("s3://bucket/x", "s3://bucket/x"),
        ("S3://bucket/x/y/", "s3://bucket/x/y"),
        ("s3://bucket", "s3://bucket"),
        ("gs://a.bucket_of-mine/x", "gs://a.bucket_of-mine/x"),
        ("az://container/x", "az://container/x"),
    ],
)
def test_an_address_is_read_however_it_is_given(text, address, kind):
    assert place_of(kind(text)) == address
    assert str(Address.parse(kind(text))) == address


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("file:///tmp/x", r"got 'file://…'$"),
        ("s4://bucket/x", r"got 's4://…' \(did you mean s3://…\?\)"),
        ("s3a://bucket/x", r"got 's3a://…' \(did you mean s3://…\?\)"),
        ("gcs://bucket/x", r"got 'gcs://…' \(did you mean gs://…\?\)"),
        ("postgresql://u:hunter2@host/x", r"got 'postgresql://…'$"),
        ("s3://k:hunter2@bucket/x", r"must name no credentials, .* got 's3://…'"),
        ("s3://", r"must name a bucket of at least three letters"),
        ("s3://ab/x", r"must name a bucket of at least three letters"),
        ("s3://Bucket/x", r"all small .* got 's3://Bucket'"),
        ("s3://bucket/x y", r"must have a prefix of letters, digits and signs"),
        ("s3://bucket/x/../y", r"must have a prefix of letters, digits and signs"),
    ],
)
def test_an_address_that_is_none_is_refused_without_its_credentials(tmp_path, monkeypatch, text, said, kind):
    monkeypatch.chdir(tmp_path)
    for opened in (lambda: place_of(kind(text), "--store"), lambda: open_store(kind(text))):
        with pytest.raises(InputError, match=said) as error:
            opened()
        assert "hunter2" not in str(error.value)
        assert "\n" not in str(error.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", KINDS)
def test_the_address_of_a_bucket_is_no_folder(kind):
    with pytest.raises(InputError, match=r"--home must be a folder, .*NFS.*, got 's3://…'"):
        folder_of(kind("s3://k:hunter2@bucket/x"), "--home")


def test_a_colon_in_a_folder_s_name_makes_no_address(tmp_path):
    assert Store(tmp_path / "a:b" / "s3:").root.is_dir()
    assert place_of("c:/windows") == str(Path("c:/windows").absolute())
