"""A hub on loopback: the part of its HTTP interface that the real client needs to make, fill and fetch a repository."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import urlsplit

import yaml

__all__ = ["TOKEN", "HubServer"]

TOKEN = "hf_this_token_is_secret_and_made_up"


class HubServer(ThreadingHTTPServer):
    """Repositories in memory.

    Attributes:
        repos: By id, whether it is private, its commits' files and the last commit.
        asked: Every request: method and path.
        fail: Answers with this status where the path holds this text.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.repos: dict[str, dict[str, Any]] = {}
        self.blobs: dict[str, bytes] = {}
        self.asked: list[str] = []
        self.fail: tuple[str, int] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def files(self, repo: str) -> dict[str, bytes]:
        return self.repos[repo]["files"]

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: HubServer

    def log_message(self, *arguments: Any) -> None:
        pass

    def do_GET(self) -> None:
        self._serve(b"")

    def do_HEAD(self) -> None:
        self._serve(b"")

    def do_POST(self) -> None:
        self._serve(self.rfile.read(int(self.headers["Content-Length"])))

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if not self._failed():
            self.server.blobs[self.path.rpartition("/")[2]] = body
            self._send({})

    def _failed(self) -> bool:
        self.server.asked.append(f"{self.command} {self.path}")
        if self.server.fail and self.server.fail[0] in self.path:
            self._send({"error": f"it is broken, {TOKEN}"}, self.server.fail[1])
            return True
        return False

    def _serve(self, body: bytes) -> None:
        if self._failed():
            return
        path = urlsplit(self.path).path
        if path == "/api/repos/create" and self._may_write():
            self._create(json.loads(body))
        elif path == "/api/validate-yaml":
            self._validate(json.loads(body)["content"])
        elif path.startswith("/api/models/"):
            self._api(path.removeprefix("/api/models/"), body)
        elif path.endswith(".git/info/lfs/objects/batch") and self._may_write():
            self._batch(json.loads(body))
        elif "/resolve/" in path:
            self._resolve(path)
        elif not path.startswith("/api/repos"):
            self._send({"error": "there is no such page"}, 404)

    def _may_write(self) -> bool:
        if self.headers.get("Authorization") == f"Bearer {TOKEN}":
            return True
        self._send({"error": "Invalid username or password."}, 401)
        return False

    def _create(self, body: dict[str, Any]) -> None:
        repo = f"{body['organization']}/{body['name']}"
        new = {"private": body.get("visibility") == "private" or body.get("private"), "files": {}, "sha": "0" * 40}
        known = self.server.repos.setdefault(repo, new)
        self._send({"url": f"{self.server.url}/{repo}"}, 200 if known is new else 409)

    def _validate(self, content: str) -> None:
        try:
            front = yaml.safe_load(content.split("---\n")[1])
            fault = "" if isinstance(front, dict) and front.get("tags") else "there are no tags"
        except (yaml.YAMLError, IndexError) as error:
            fault = str(error)
        self._send({"errors": [{"message": fault}] if fault else [], "warnings": []}, 400 if fault else 200)

    def _api(self, path: str, body: bytes) -> None:
        owner, name, *rest = path.split("/")
        repo = self.server.repos.get(f"{owner}/{name}")
        if repo is None:
            self._send({"error": "Repository not found"}, 404, {"X-Error-Code": "RepoNotFound"})
        elif rest[:1] == ["preupload"] and self._may_write():
            files = [
                {"path": one["path"], "uploadMode": _mode(one["path"]), "shouldIgnore": False}
                for one in json.loads(body)["files"]
            ]
            self._send({"files": files})
        elif rest[:1] == ["commit"] and self._may_write():
            self._commit(f"{owner}/{name}", repo, body)
        elif rest[:1] == ["tree"]:
            self._send([self._entry(place, data) for place, data in sorted(repo["files"].items())])
        elif rest[:1] not in (["preupload"], ["commit"]):
            siblings = [{"rfilename": place} for place in sorted(repo["files"])]
            self._send({"id": f"{owner}/{name}", "sha": repo["sha"], "private": repo["private"], "siblings": siblings})

    def _commit(self, name: str, repo: dict[str, Any], body: bytes) -> None:
        files = dict(repo["files"])
        for line in body.splitlines():
            entry = json.loads(line)
            value = entry["value"]
            if entry["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif entry["key"] == "lfsFile":
                files[value["path"]] = self.server.blobs[value["oid"]]
            elif entry["key"] == "deletedFile":
                del files[value["path"]]
        repo["files"], repo["sha"] = files, hashlib.sha1(body).hexdigest()
        self._send({"commitUrl": f"{self.server.url}/{name}/commit/{repo['sha']}", "commitOid": repo["sha"]})

    def _batch(self, body: dict[str, Any]) -> None:
        objects = []
        for one in body["objects"]:
            known = one["oid"] in self.server.blobs
            upload = {"upload": {"href": f"{self.server.url}/lfs/{one['oid']}", "header": {}}}
            objects.append({**one, **({} if known else {"actions": upload})})
        self._send({"transfer": "basic", "objects": objects})

    def _entry(self, place: str, data: bytes) -> dict[str, Any]:
        entry = {"type": "file", "path": place, "size": len(data), "oid": _oid(data)}
        if _mode(place) == "lfs":
            entry["lfs"] = {"oid": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 100}
        return entry

    def _resolve(self, path: str) -> None:
        repo, _, place = path.lstrip("/").partition("/resolve/")
        found = self.server.repos.get(repo)
        data = found["files"].get(place.partition("/")[2]) if found else None
        if found is None or data is None:
            code = "EntryNotFound" if found else "RepoNotFound"
            self._send({"error": "not found"}, 404, {"X-Error-Code": code})
            return
        etag = hashlib.sha256(data).hexdigest() if _mode(place) == "lfs" else _oid(data)
        self._answer(data, 200, {"ETag": f'"{etag}"', "X-Repo-Commit": found["sha"]})

    def _send(self, content: Any, status: int = 200, headers: dict[str, str] | None = None) -> None:
        self._answer(json.dumps(content).encode(), status, {"Content-Type": "application/json", **(headers or {})})

    def _answer(self, data: bytes, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)


def _mode(path: str) -> str:
    return "lfs" if path.endswith(".safetensors") else "regular"


def _oid(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
