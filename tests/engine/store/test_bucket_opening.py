"""What stands in the way of a store in a bucket is said in a sentence, soon, and before anything starts."""

import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from engine.errors import InputError
from engine.store import bucket as module
from engine.store import bucket_store, open_store

ROOT = Path(__file__).parents[3]


def refusal(address: str, read_only: bool = False) -> str:
    """Return what is said of an address, and check that it is a sentence that comes in time and tells no secret."""
    started = time.monotonic()
    with pytest.raises(InputError) as error:
        open_store(address, read_only=read_only)
    assert time.monotonic() - started < 15
    said = str(error.value)
    assert "hunter2" not in said
    assert "\n" not in said
    return said


@pytest.mark.parametrize("read_only", [False, True])
def test_a_bucket_that_does_not_exist(s3, read_only):
    said = refusal("s3://not-this-one/x", read_only)
    assert "there is no bucket 'not-this-one' (s3://not-this-one/x)" in said


@pytest.mark.parametrize("read_only", [False, True])
def test_a_service_that_nobody_answers_for(s3, monkeypatch, read_only):
    monkeypatch.setattr(bucket_store, "OPENING_S", 1.0)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    said = refusal(s3.address, read_only)
    assert f"the service does not answer ({s3.address}" in said


def test_a_service_that_takes_a_request_and_never_answers(s3, monkeypatch):
    monkeypatch.setattr(bucket_store, "_DEADLINE_S", 1.0)
    monkeypatch.setattr(bucket_store, "OPENING_S", 1.0)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{silent.getsockname()[1]}")
        assert "the service does not answer within 1 s" in refusal(s3.address)


def test_a_bucket_that_may_not_be_written(s3, proxy, monkeypatch):
    deny = (403, {}, b"<Error><Code>AccessDenied</Code><Message>hunter2</Message></Error>")
    monkeypatch.setattr(proxy, "_pass_on", lambda request, body: deny)
    said = refusal(s3.address)
    assert f"store cannot be written: {s3.address} (" in said
    assert f"access to {s3.address} is refused (403 AccessDenied): AWS_ACCESS_KEY_ID" in said
    assert "store cannot be read" in refusal(s3.address, read_only=True)


def test_what_does_not_keep_what_is_written(s3, proxy, monkeypatch):
    pass_on = proxy._pass_on

    def lose(request, body):
        return (200, {"ETag": '"x"'}, b"") if request.command == "PUT" else pass_on(request, body)

    monkeypatch.setattr(proxy, "_pass_on", lose)
    assert "does not keep what is written" in refusal(s3.address)


def test_a_machine_without_credentials(s3, monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(ROOT / "none"))
    monkeypatch.setenv("AWS_METADATA_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setattr(bucket_store, "OPENING_S", 1.0)
    said = refusal(s3.address)
    assert "no credentials were found" in said or "does not answer" in said, said


def test_a_package_that_is_missing(tmp_path):
    code = (
        "import sys; sys.modules['obstore'] = None\n"
        "from engine.errors import InputError\n"
        "from engine.store import open_store\n"
        f"open_store({str(tmp_path / 'folder')!r})\n"
        "try:\n    open_store('s3://bucket/x')\nexcept InputError as error:\n    print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.strip() == (
        "a store at s3://bucket/x needs the package 'obstore', which is missing: pip install 'robustune[s3]'"
    )


@pytest.mark.parametrize(("variable", "value"), [("ROBUSTUNE_CACHE_GB", "none"), ("ROBUSTUNE_CACHE_GB", "0")])
def test_a_cache_s_bound_that_is_none(s3, monkeypatch, variable, value):
    monkeypatch.setenv(variable, value)
    assert f"{variable} must be a number of gigabytes above 0, got {value!r}" in refusal(s3.address)


def test_a_cache_that_cannot_be_written(s3, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("ROBUSTUNE_CACHE", str(tmp_path / "file" / "cache"))
    assert "the local cache cannot be written: " in refusal(s3.address)


def test_google_s_and_azure_s_addresses_make_clients_of_theirs(monkeypatch):
    """No such service is asked here: whether they answer as S3 does is not tried."""
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "account")
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_KEY", "a2V5")
    for text, kind in (("gs://bucket/x", "GCSStore"), ("az://container/x", "AzureStore")):
        address = module.Address.parse(text)
        assert type(module._client(address, timeout_s=1.0)).__name__ == kind
    monkeypatch.delenv("AZURE_STORAGE_ACCOUNT_NAME")
    with pytest.raises(InputError, match=r"store az://container/x cannot be opened: .*AZURE_STORAGE_ACCOUNT_NAME with"):
        module._client(module.Address.parse("az://container/x"), timeout_s=1.0)
