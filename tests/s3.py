"""An S3 server on loopback for tests, and a proxy before it that is slow, refuses, or is away."""

from __future__ import annotations

import http.client
import json
import random
import sys
import threading
import time
import uuid
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import boto3
import pytest
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

VARIABLES = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "hunter2", "AWS_REGION": "us-east-1"}


class _Quiet(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1

    def log(self, *_: Any) -> None:
        """Print nothing."""


@cache
def server() -> tuple[str, int]:
    """Return the host and the port of this process's server, which is started once.

    It is moto's, one request at a time: a condition of a write is looked at in the same moment as it is written, as a
    real service does, and moto by itself does not.
    """
    application, turn = DomainDispatcherApplication(create_backend_app), threading.Lock()

    def one_at_a_time(environment: Any, start: Any) -> list[bytes]:
        with turn:
            return list(application(environment, start))

    started = make_server("127.0.0.1", 0, one_at_a_time, threaded=True, request_handler=_Quiet)
    threading.Thread(target=started.serve_forever, daemon=True).start()
    return "127.0.0.1", started.server_port


class S3:
    """A bucket of its own, and what talks to it past the store.

    Attributes:
        url: of the server.
        bucket: its name.
        address: of a store in it.
    """

    def __init__(self) -> None:
        host, port = server()
        self.url = f"http://{host}:{port}"
        self.bucket = f"bucket-{uuid.uuid4().hex[:12]}"
        self.address = f"s3://{self.bucket}/some/place"
        names = {"aws_access_key_id": "key", "aws_secret_access_key": "hunter2", "region_name": "us-east-1"}
        self.client: Any = boto3.client("s3", endpoint_url=self.url, **names)
        self.client.create_bucket(Bucket=self.bucket)

    def names(self, folder: str = "") -> list[str]:
        """Return the names of the objects below the store's address."""
        found = self.client.list_objects_v2(Bucket=self.bucket, Prefix=f"some/place/{folder}").get("Contents", [])
        return [one["Key"].removeprefix("some/place/") for one in found]

    def read(self, name: str) -> bytes:
        return self.client.get_object(Bucket=self.bucket, Key=f"some/place/{name}")["Body"].read()

    def write(self, name: str, content: bytes) -> None:
        self.client.put_object(Bucket=self.bucket, Key=f"some/place/{name}", Body=content)

    def remove(self, name: str) -> None:
        self.client.delete_object(Bucket=self.bucket, Key=f"some/place/{name}")


def set_variables(monkeypatch: pytest.MonkeyPatch, url: str, cache_folder: Any) -> None:
    """Have this process, and those that it starts, find a server, and a cache of its own."""
    for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL_S3", "AWS_DEFAULT_REGION", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {**VARIABLES, "AWS_ENDPOINT_URL": url, "ROBUSTUNE_CACHE": str(cache_folder)}.items():
        monkeypatch.setenv(name, value)


class Proxy:
    """Passes requests on to the server, as badly as it is told to.

    Attributes:
        url: its own.
        latency_s: how long each request waits.
        refused: share of the requests that are answered by 503, half of them after they were done.
        is_away: whether connections are closed without an answer.
        requests: "METHOD PATH" of each that came.
        n_refused: how many were answered by 503, or not at all.
    """

    def __init__(self, seed: int = 0) -> None:
        self.latency_s = self.refused = 0.0
        self.is_away = False
        self.requests: list[str] = []
        self.n_refused = 0
        self._random = random.Random(seed)
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True
            wbufsize = -1  # head and body of an answer go together: else the second waits for 40 ms

            def handle_any(self) -> None:
                outer._handle(self)

            do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = handle_any  # noqa: N815

            def log_message(self, *_: Any) -> None:
                """Print nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _handle(self, request: BaseHTTPRequestHandler) -> None:
        body = request.rfile.read(int(request.headers.get("Content-Length") or 0))
        self.requests.append(f"{request.command} {request.path}")
        if self.is_away:
            self.n_refused += 1
            request.close_connection = True
            return
        time.sleep(self.latency_s)
        is_refused, is_done = self._random.random() < self.refused, self._random.random() < 0.5
        status, headers, content = 503, {}, b"<Error><Code>SlowDown</Code></Error>"
        if not is_refused or is_done:
            status_done, headers_done, content_done = self._pass_on(request, body)
            if not is_refused:
                status, headers, content = status_done, headers_done, content_done
        self.n_refused += is_refused
        request.send_response(status)
        for name, value in headers.items():
            if name.lower() not in ("transfer-encoding", "content-length", "connection", "server", "date"):
                request.send_header(name, value)
        request.send_header("Content-Length", headers.get("Content-Length", str(len(content))))
        request.end_headers()
        if request.command != "HEAD":
            request.wfile.write(content)
        request.wfile.flush()

    def _pass_on(self, request: BaseHTTPRequestHandler, body: bytes) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection(*server(), timeout=30)
        try:
            connection.request(request.command, request.path, body, dict(request.headers.items()))
            answer = connection.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read()
        finally:
            connection.close()


def main() -> None:
    """Serve a bucket, each request after some milliseconds, until the input ends; print where it is, as JSON."""
    proxy, bucket = Proxy(), S3()
    proxy.latency_s = float(sys.argv[1]) / 1e3
    print(json.dumps({"url": proxy.url, "address": bucket.address}), flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
