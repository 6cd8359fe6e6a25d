"""A place in a bucket of S3, Google or Azure: objects by name, conditional writes, and patience with the service.

Everything here goes through ``obstore``, one interface for all three. What it asks for is in the environment: the
usual variables of each service (AWS_ACCESS_KEY_ID, AWS_REGION, AWS_ENDPOINT_URL, GOOGLE_APPLICATION_CREDENTIALS,
AZURE_STORAGE_ACCOUNT_NAME, …), or the machine's own role; a profile of the AWS command line is read if boto3 is there.

A request that fails for a reason that may pass (the service is away, answers 5xx, is slow, the connection broke) is
sent again for as long as ``patience_s``; so a conditional write may have happened although its answer was lost, and
who is refused looks whether what is there is his own.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

from engine.errors import InputError
from engine.redaction import hide_credentials
from engine.store.attempts import StoreFaultError
from engine.store.bucket_clock import BucketClock
from engine.store.places import Address

PATIENCE_S = 300.0
"""How long a service that refuses for now is asked again."""
OPENING_S = 12.0
"""How long an address may take to answer when a person names it."""
_N_RETRIES = 4
"""How often obstore itself sends a request again, within some seconds."""
_SMALL_S = 8.0
"""How long a request without a file may take: less than the time in which a lease that is not renewed is watched."""
_LARGE_S = 60.0
"""How long one with a part of a file may take."""
_PAUSE_S = 0.5
_MAX_PAUSE_S = 5.0
_PART_BYTES = 16 * 1024**2
"""What is downloaded at once of a large object."""
_N_TOGETHER = 8
"""Requests that one call has under way at most."""
_STATUS = re.compile(r"non-2xx status code: (\d{3})")
_CODE = re.compile(r"<Code>(\w+)</Code>")
_PASSING = (408, 425, 429)
_METADATA = re.compile(
    r"instance metadata|https?://(169\.254\.\d+\.\d+|metadata\.google\.internal|metadata)[:/]"
    r"|https?://[^/\s]+/latest/(meta-data|api/token)"
)
"""How an error reads that is of the service on the machine that gives out a role's credentials."""
_T = TypeVar("_T")
_S = TypeVar("_S")


@dataclass(frozen=True)
class Found:
    """An object that was read.

    Attributes:
        content: all of it.
        version: tells this content from any other that the name had or will have.
        modified: when it was written, by the service's clock, in seconds since 1970.
    """

    content: bytes
    version: Mapping[str, str]
    modified: float


@dataclass(frozen=True)
class Listed:
    """An object in a listing: its name, its size in bytes, and when it was written, by the service's clock."""

    name: str
    n_bytes: int
    modified: float


class Bucket:
    """The objects whose names begin with an address's prefix; names here are what follows it.

    Args:
        address: the place.
        patience_s: how long a service that refuses for now is asked again.

    Raises:
        InputError: the package that it needs is missing, or the environment lacks something.
    """

    def __init__(self, address: Address, *, patience_s: float = PATIENCE_S) -> None:
        self.address = address
        self.patience_s = patience_s
        self.clock = BucketClock()
        self.broke_at = float("-inf")  # of time.monotonic(): when a request failed last
        self._has_answered = False
        self._obstore = _import_obstore(address)
        self._store = _client(address, timeout_s=_SMALL_S)
        self._for_files = _client(address, timeout_s=_LARGE_S)

    def get(self, name: str, *, patience_s: float | None = None) -> Found | None:
        """Return an object, or None where there is none.

        Raises:
            StoreFaultError: the service refuses.
        """

        def read() -> Found:
            answer = self._obstore.get(self._store, name)
            meta = answer.meta
            return Found(bytes(answer.bytes()), _version(meta), meta["last_modified"].timestamp())

        try:
            found = self._call(f"reading {name}", read, patience_s)
        except FileNotFoundError:
            return None
        self.clock.hear(found.modified)
        return found

    def put(self, name: str, content: bytes, *, patience_s: float | None = None) -> None:
        """Write an object, whatever was there.

        Raises:
            StoreFaultError: the service refuses.
        """
        self._call(f"writing {name}", lambda: self._obstore.put(self._store, name, content), patience_s)

    def put_if(
        self, name: str, content: bytes, version: Mapping[str, str] | None, *, patience_s: float | None = None
    ) -> Mapping[str, str] | None:
        """Write an object if the name has no other one: return its version, or None where it has another one.

        Args:
            name: the object's.
            content: to be written. It must differ from all that the name ever had: some services tell versions apart by
                their content.
            version: the one that is to be replaced; None where there must be none.
            patience_s: how long to ask again; None for the bucket's own.

        Raises:
            StoreFaultError: the service refuses.
        """
        mode: Any = "create" if version is None else dict(version)
        refused = (self._obstore.exceptions.AlreadyExistsError, self._obstore.exceptions.PreconditionError)
        try:
            put = self._call(
                f"writing {name}",
                lambda: self._obstore.put(self._store, name, content, mode=mode, use_multipart=False),
                patience_s,
            )
        except (*refused, FileNotFoundError):
            found = self.get(name, patience_s=patience_s)  # ours, if an answer was lost
            return found.version if found is not None and found.content == content else None
        return _version(put)

    def delete(self, names: Iterable[str], *, patience_s: float | None = None) -> None:
        """Remove objects; those that are not there do no harm.

        Raises:
            StoreFaultError: the service refuses.
        """
        names = list(names)
        try:
            if names:
                self._call(f"removing {names[0]}", lambda: self._obstore.delete(self._store, list(names)), patience_s)
        except FileNotFoundError:  # some services say so of one; the others are removed all the same
            for name in names if len(names) > 1 else ():
                self.delete([name], patience_s=patience_s)

    def listing(self, folder: str, *, patience_s: float | None = None) -> list[Listed]:
        """Return the objects whose names begin with ``folder``/, in the order of their names.

        Raises:
            StoreFaultError: the service refuses.
        """

        def read() -> list[Listed]:
            pages = self._obstore.list(self._store, folder or None)
            return [
                Listed(meta["path"], int(meta["size"]), meta["last_modified"].timestamp())
                for page in pages
                for meta in page
            ]

        found = self._call(f"listing {folder}", read, patience_s)
        for listed in found:
            self.clock.hear(listed.modified)
        return sorted(found, key=lambda listed: listed.name)

    def upload(self, name: str, file: Path) -> None:
        """Write an object from a file; a large one goes in parts, and is there when all of them are.

        Raises:
            StoreFaultError: the service refuses.
        """
        self._call(f"writing {name}", lambda: self._obstore.put(self._for_files, name, file))

    def download(self, name: str, n_bytes: int, file: Path) -> bool:
        """Write an object into a file, part by part; return whether there was such an object, and of that size.

        Raises:
            StoreFaultError: the service refuses.
            OSError: the file cannot be written.
        """
        parts = [(start, min(start + _PART_BYTES, n_bytes)) for start in range(0, n_bytes, _PART_BYTES)]

        def fetch(part: tuple[int, int]) -> None:
            start, end = part
            content = self._call(
                f"reading {name}", lambda: bytes(self._obstore.get_range(self._for_files, name, start=start, end=end))
            )
            with file.open("r+b") as opened:
                opened.seek(start)
                opened.write(content)

        file.touch()
        try:
            if not parts:
                return self.get(name) is not None
            self.each(fetch, parts)
        except FileNotFoundError:
            return False
        return True

    def each(self, function: Callable[[_S], _T], items: Iterable[_S]) -> list[_T]:
        """Return what a function returns for each item, some requests at a time; the first error is raised."""
        items = list(items)
        if len(items) < 2:
            return [function(item) for item in items]
        with ThreadPoolExecutor(min(_N_TOGETHER, len(items)), thread_name_prefix="bucket") as pool:
            return list(pool.map(function, items))

    def measure_clock(self, folder: str, *, patience_s: float | None = None) -> None:
        """Write an object of this moment and look when that was by the service's clock.

        Raises:
            StoreFaultError: nothing can be written, or the service refuses.
        """
        name = f"{folder}/probe-{os.urandom(16).hex()}"
        self.put(name, b"probe", patience_s=patience_s)
        if self.get(name, patience_s=patience_s) is None:
            raise StoreFaultError(f"{self.address} does not keep what is written to it")
        self.clock.note_measured()
        self.delete([name], patience_s=patience_s)

    def _call(self, doing: str, function: Callable[[], _T], patience_s: float | None = None) -> _T:
        """Return what a function returns, asking again while what it raises may pass.

        Raises:
            FileNotFoundError: there is no such object.
            StoreFaultError: the service refuses; the message says what and why.
            Exception: a refusal of a conditional write.
        """
        limit_s = self.patience_s if patience_s is None else patience_s
        started, pause_s = time.monotonic(), _PAUSE_S
        while True:
            try:
                result = function()
                self._has_answered = True
                return result
            except (self._obstore.exceptions.BaseError, OSError) as error:
                if _is_answer(error):
                    raise
                if _is_short(error):
                    raise FileNotFoundError(f"there is no such part: {doing}") from error
                reason, may_pass = self._reason(error)
                self.broke_at = time.monotonic()
                waited_s = time.monotonic() - started
                if not may_pass or waited_s + pause_s > limit_s:
                    raise StoreFaultError(f"the store failed while {doing}: {reason}") from error
                logging.getLogger(__name__).debug("%s: %s; asking again", doing, reason)
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, _MAX_PAUSE_S)

    def _reason(self, error: Exception) -> tuple[str, bool]:
        """Return why a request failed, with the address, and whether that may pass."""
        text = hide_credentials(str(error).partition("\n\nDebug source")[0])
        status = int(found[1]) if (found := _STATUS.search(text)) else 0
        code = found[1] if (found := _CODE.search(text)) else ""
        what = "container" if self.address.scheme == "az" else "bucket"
        if code in ("NoSuchBucket", "ContainerNotFound") or (status == 404 and "bucket does not exist" in text):
            return f"there is no {what} {self.address.bucket!r} ({self.address})", False
        if _METADATA.search(text):  # a role's credentials are renewed from time to time
            said = f"no credentials were found for {self.address}: {_ADVICE[self.address.scheme]}"
            return said, self._has_answered
        if status in (401, 403) or type(error).__name__ in ("PermissionDeniedError", "UnauthenticatedError"):
            said = f" ({status or 'refused'}{f' {code}' if code else ''})"
            return f"access to {self.address} is refused{said}: {_ADVICE[self.address.scheme]}", False
        if status:
            said = f"the service answers {status}{f' {code}' if code else ''} ({self.address})"
            return said, status >= 500 or status in _PASSING
        return f"the service does not answer ({self.address}: {_innermost(text)})", True


_ADVICE = {
    "s3": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE, or the machine's role must allow it",
    "gs": "GOOGLE_APPLICATION_CREDENTIALS, or the machine's account, must allow it",
    "az": "AZURE_STORAGE_ACCOUNT_NAME with AZURE_STORAGE_ACCOUNT_KEY, or the machine's identity, must allow it",
}


def _is_short(error: Exception) -> bool:
    """Return whether an object ends before the part that was asked for."""
    status = _STATUS.search(str(error))
    return status is not None and status[1] == "416"


def _version(meta: Any) -> dict[str, str]:
    """Return what tells an object's version; services differ in which of the two they have."""
    return {name: meta[name] for name in ("e_tag", "version") if meta[name] is not None}


def _is_answer(error: Exception) -> bool:
    """Return whether an error is a service's answer about an object, and no failure."""
    if isinstance(error, FileNotFoundError):
        return "<Code>NoSuchBucket</Code>" not in str(error) and "ContainerNotFound" not in str(error)
    return type(error).__name__ in ("AlreadyExistsError", "PreconditionError")


def _innermost(text: str) -> str:
    """Return the end of a long message, which says what happened; addresses are in its beginning."""
    return text.strip().partition("\n")[0].rpartition(" - ")[2][:200]


def _import_obstore(address: Address) -> Any:
    try:
        import obstore
        import obstore.exceptions
        import obstore.store
    except ImportError as error:
        raise InputError(
            f"a store at {address} needs the package 'obstore', which is missing: pip install 'robustune[s3]'"
        ) from error
    return obstore


def _client(address: Address, *, timeout_s: float) -> Any:
    """Return what talks to a service, each of whose requests ends after some seconds; nothing is asked yet.

    Raises:
        InputError: the environment lacks what an address does not say, or says it in a way that cannot be.
    """
    import obstore.store as services

    endpoint = os.environ.get("AWS_ENDPOINT_URL") or os.environ.get("AWS_ENDPOINT_URL_S3") or ""
    options: dict[str, Any] = {
        "client_options": {
            "timeout": timedelta(seconds=timeout_s),
            "connect_timeout": timedelta(seconds=4),
            "allow_http": address.scheme == "s3" and endpoint.startswith("http://"),
        },
        "retry_config": {
            "max_retries": _N_RETRIES,
            "retry_timeout": timedelta(seconds=8),
            "backoff": {"init_backoff": timedelta(milliseconds=100), "max_backoff": timedelta(seconds=2), "base": 2},
        },
        "prefix": address.prefix or None,
    }
    try:
        if address.scheme == "s3":
            return services.S3Store(address.bucket, **options, **_aws(endpoint))
        if address.scheme == "gs":
            return services.GCSStore(address.bucket, **options)
        return services.AzureStore(address.bucket, **options)
    except Exception as error:  # obstore has a kind of its own for each
        said = hide_credentials(str(error).partition("\n")[0])
        raise InputError(f"store {address} cannot be opened: {said}; {_ADVICE[address.scheme]}") from error


def _aws(endpoint: str) -> dict[str, Any]:
    """Return what the environment says of S3 that obstore does not read itself: endpoint, and boto3's profiles."""
    given: dict[str, Any] = {"endpoint": endpoint} if endpoint else {}
    named = any(os.environ.get(name) for name in ("AWS_PROFILE", "AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"))
    if not named and not (Path.home() / ".aws").is_dir():
        return given
    try:
        import boto3
        from obstore.auth.boto3 import Boto3CredentialProvider
    except ImportError:
        return given
    with contextlib.suppress(Exception):  # a profile that is not there: obstore's own ways are left
        session = boto3.Session()
        if session.region_name and not os.environ.get("AWS_REGION"):
            given["region"] = session.region_name
        if not os.environ.get("AWS_ACCESS_KEY_ID") and session.get_credentials() is not None:
            given["credential_provider"] = Boto3CredentialProvider(session)
    return given


def within(seconds: float, function: Callable[[], _T], otherwise: str) -> _T:
    """Return what a function returns, in a thread of its own.

    Raises:
        StoreFaultError: it takes longer; the message is ``otherwise``.
        Exception: what it raises.
    """
    results: list[_T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(function())
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run, name="bucket-opening", daemon=True)
    thread.start()
    thread.join(seconds)
    if errors:
        raise errors[0]
    if not results:
        raise StoreFaultError(otherwise)
    return results[0]
