"""A hub in memory, and the same hub behind a local HTTP server, which the real client talks to."""

from __future__ import annotations

import contextlib
import hashlib
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import BinaryIO, ClassVar
from urllib.parse import unquote, urlsplit

from models.catalogue.contract import HubSource
from models.catalogue.remote import Listing, RemoteFault, RemoteFile

LARGE = ".safetensors", ".bin"  # endings of files that the hub keeps apart and knows by sha256


def digest_of(name: str, content: bytes) -> str:
    """As the hub gives it: sha256 of large files, git's blob hash of others."""
    if name.endswith(LARGE):
        return hashlib.sha256(content).hexdigest()
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


@dataclass
class MemoryHub:
    """Repositories: id to commits, oldest first, each a mapping of names to contents.

    Attributes:
        breaks_after: bytes of a transfer before it breaks off; None: never.
        damaged: names whose content arrives with another byte.
        sent: (name, first position, bytes) of every transfer.
    """

    repositories: dict[str, list[dict[str, bytes]]]
    gated: bool = False
    licence: str | None = "mit"
    token: bool = False
    offline: bool = False
    breaks_after: int | None = None
    damaged: tuple[str, ...] = ()
    sent: list[tuple[str, int, int]] = field(default_factory=list)

    @staticmethod
    def commit(repository: str, number: int) -> str:
        return hashlib.sha1(f"{repository} {number}".encode()).hexdigest()

    def files(self, repository: str, revision: str | None) -> tuple[str, dict[str, bytes]]:
        commits = self.repositories[repository]
        names = [self.commit(repository, number) for number in range(len(commits))]
        number = len(commits) - 1 if revision in (None, "main") else names.index(revision)
        return names[number], commits[number]

    def look_up(self, source: HubSource, revision: str | None) -> Listing:
        if self.offline:
            raise RemoteFault("connection", "name resolution failed")
        if source.id not in self.repositories:
            raise RemoteFault("missing", "404")
        commit, files = self.files(source.id, revision)
        listed = tuple(RemoteFile(name, len(content), digest_of(name, content)) for name, content in files.items())
        return Listing(commit, listed, self.gated, self.licence)

    def fill(self, source: HubSource, commit: str, file: RemoteFile, target: BinaryIO, start: int) -> None:
        if self.gated and not self.token:
            raise RemoteFault("gated", "403")
        content = self.files(source.id, commit)[1][file.name]
        if file.name in self.damaged:
            content = content[:-1] + bytes([content[-1] ^ 1])
        rest = content[start : None if self.breaks_after is None else start + self.breaks_after]
        target.write(rest)
        self.sent.append((file.name, start, len(rest)))
        if start + len(rest) < len(content):
            raise RemoteFault("connection", "the transfer broke off")

    def has_token(self) -> bool:
        return self.token


@contextlib.contextmanager
def served(hub: MemoryHub) -> Iterator[str]:
    """The address of a server that answers as the hub does, for models and data sets."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version: ClassVar[str] = "HTTP/1.1"

        def log_message(self, format: str, *args: object) -> None:
            pass

        def do_HEAD(self) -> None:
            self._answer(body=False)

        def do_GET(self) -> None:
            self._answer(body=True)

        def _answer(self, body: bool) -> None:
            parts = unquote(urlsplit(self.path).path).strip("/").split("/")
            if parts[0] == "api":
                repository = "/".join(parts[2:4])
                if repository not in hub.repositories:
                    return self._send(404, b"{}", {"X-Error-Code": "RepoNotFound"}, body)
                return self._send(200, self._info(repository, parts[5] if len(parts) > 5 else None), {}, body)
            parts = parts[1:] if parts[0] == "datasets" else parts
            if hub.gated and not self.headers.get("Authorization"):
                return self._send(401, b"", {"X-Error-Code": "GatedRepo"}, body)
            repository, name = "/".join(parts[:2]), "/".join(parts[4:])
            commit, files = hub.files(repository, parts[3])
            content, first = files[name], 0
            asked = self.headers.get("Range")
            if asked:
                first = int(asked.removeprefix("bytes=").split("-")[0])
            headers = {"ETag": f'"{digest_of(name, content)}"', "X-Repo-Commit": commit, "Accept-Ranges": "bytes"}
            if asked:
                headers["Content-Range"] = f"bytes {first}-{len(content) - 1}/{len(content)}"
            if body:
                hub.sent.append((name, first, len(content) - first))
            return self._send(206 if asked else 200, content[first:], headers, body)

        def _info(self, repository: str, revision: str | None) -> bytes:
            commit, files = hub.files(repository, revision)
            siblings = []
            for name, content in files.items():
                one = {"rfilename": name, "size": len(content), "blobId": "0" * 40}
                if name.endswith(LARGE):
                    one["lfs"] = {"size": len(content), "sha256": digest_of(name, content), "pointerSize": 130}
                else:
                    one["blobId"] = digest_of(name, content)
                siblings.append(one)
            card = {"license": hub.licence} if hub.licence else {}
            found = {
                "id": repository,
                "sha": commit,
                "siblings": siblings,
                "cardData": card,
                "gated": hub.gated and "auto",
            }
            return json.dumps(found).encode()

        def _send(self, code: int, content: bytes, headers: dict[str, str], body: bool) -> None:
            self.send_response(code)
            for key, value in {"Content-Length": str(len(content)), **headers}.items():
                self.send_header(key, value)
            self.end_headers()
            if body:
                self.wfile.write(content)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
