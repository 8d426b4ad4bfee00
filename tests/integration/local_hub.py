"""A Hub on this machine that speaks what a deploy and a push ask of the real one, and keeps what it is given.

Large files come by Git LFS: a client has to be told not to use Xet (`HF_HUB_DISABLE_XET`).
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any


class Repository:
    """One repository: its newest files, and what was set."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {".gitattributes": b"*.safetensors filter=lfs\n"}
        self.commits = 1
        self.private = False
        self.set: dict[str, Any] = {"volumes": [], "variables": {}, "hardware": None}

    @property
    def sha(self) -> str:
        return f"{self.commits:040x}"


class Space(Repository):
    """A new one has a card, which a new model has not."""

    def __init__(self) -> None:
        super().__init__()
        self.files["README.md"] = b"# new\n"


class Hub:
    """What the server holds; a fresh one has no repository."""

    def __init__(self) -> None:
        self.spaces: dict[str, Repository] = {}
        self.models: dict[str, Repository] = {}
        self.accounts: dict[str, set[str]] | None = None
        """Token → the names under which it may write; None lets any token write anywhere."""
        self.buckets: dict[str, dict[str, Any]] = {}
        self.objects: dict[str, bytes] = {}
        self.tokens: set[str] = set()
        self.created: dict[str, Any] = {}
        self.sign_in: SignIn | None = None
        self.endpoint = ""

    def answer(self, method: str, path: str, body: bytes, token: str = "") -> tuple[int, Any]:
        """An HTTP status, and what to say."""
        path = path.partition("?")[0]
        if self.sign_in is not None and (said := self.sign_in.answer(path, self.endpoint)) is not None:
            return 200, said
        if path.startswith("/api/") and self.accounts is not None and token not in self.accounts:
            return 401, {"error": "Invalid credentials in Authorization header"}
        if path == "/api/repos/create" and not self._may_write(token, json.loads(body)["organization"]):
            return 403, {"error": "You don't have the rights to create a model under this namespace"}
        if method == "HEAD" or path == "/api/validate-yaml":
            return 200, {"errors": [], "warnings": []}
        if path == "/api/repos/create":
            return self._create(json.loads(body))
        if found := re.fullmatch(r"/api/buckets/([^/]+/[^/]+)", path):
            self.buckets[found[1]] = json.loads(body)
            return 200, {"url": f"{self.endpoint}/buckets/{found[1]}"}
        if found := re.fullmatch(r"/objects/(\w+)", path):
            assert hashlib.sha256(body).hexdigest() == found[1]
            self.objects[found[1]] = body
            return 200, {}
        if found := re.fullmatch(r"(?:/spaces)?/([^/]+/[^/]+)\.git/info/lfs/objects/batch", path):
            return 200, self._batch(json.loads(body))
        if found := re.fullmatch(r"/api/(spaces|models)/([^/]+/[^/]+)(?:/(.*))?", path):
            repository = (self.spaces if found[1] == "spaces" else self.models).get(found[2])
            if repository is None:
                return 404, {"error": "Repository not found"}
            if method != "GET" and not self._may_write(token, found[2].partition("/")[0]):
                return 403, {"error": "Forbidden: pass `create_pr=1` as a query parameter to create a Pull Request"}
            return self._of_repository(repository, method, found[3] or "", body, found[2])
        return 400, {"error": f"not a thing this Hub knows: {method} {path}"}

    def _create(self, asked: dict[str, Any]) -> tuple[int, Any]:
        name = f"{asked['organization']}/{asked['name']}"
        self.created = asked
        if asked.get("type") != "space":
            if name in self.models:
                return 409, {"error": "You already created this model repo"}
            self.models[name] = Repository()
            self.models[name].private = asked.get("visibility") == "private"
            return 200, {"url": f"{self.endpoint}/{name}"}
        space = self.spaces[name] = Space()
        space.private = asked.get("visibility") == "private"
        space.set["hardware"] = asked.get("hardware")
        space.set["volumes"] = asked.get("volumes") or []
        space.set["variables"] = {each["key"]: each["value"] for each in asked.get("variables") or []}
        return 200, {"url": f"{self.endpoint}/spaces/{name}"}

    def _may_write(self, token: str, namespace: str) -> bool:
        return self.accounts is None or namespace in self.accounts[token]

    def _of_repository(self, space: Repository, method: str, what: str, body: bytes, name: str) -> tuple[int, Any]:
        sent = json.loads(body) if body and not what.startswith("commit/") else {}
        if method == "GET" and what in ("", "revision/main"):
            siblings = [{"rfilename": path} for path in space.files]
            return 200, {"id": name, "sha": space.sha, "private": space.private, "siblings": siblings}
        if method == "GET" and what.startswith("tree/"):
            return 200, [
                {"type": "file", "path": path, "size": len(held), "oid": _blob(held)}
                for path, held in space.files.items()
            ]
        if what == "runtime":
            return 200, self._runtime(space)
        if what == "settings":
            space.private = sent["visibility"] == "private"
            return 200, {}
        if what == "hardware":
            space.set["hardware"] = sent["flavor"]
            return 200, self._runtime(space)
        if what == "volumes":
            space.set["volumes"] = sent["volumes"]
            return 200, {}
        if what == "variables":
            space.set["variables"][sent["key"]] = sent["value"]
            return 200, {key: {"value": value} for key, value in space.set["variables"].items()}
        if what.startswith("preupload/"):
            return 200, {"files": [self._mode(space, each) for each in sent["files"]]}
        if what == "commit/main":
            return self._commit(space, body, name)
        return 400, {"error": f"not a thing this Hub knows of a repository: {method} {what}"}

    def _mode(self, space: Repository, file: dict[str, Any]) -> dict[str, Any]:
        path = file["path"]
        held = space.files.get(path)
        mode = "lfs" if path.endswith((".safetensors", ".png")) else "regular"
        return {"path": path, "uploadMode": mode, "shouldIgnore": False, "oid": _oid(held, mode)}

    def _batch(self, asked: dict[str, Any]) -> dict[str, Any]:
        objects = []
        for each in asked["objects"]:
            upload = {"href": f"{self.endpoint}/objects/{each['oid']}", "header": {}}
            actions = {} if each["oid"] in self.objects else {"actions": {"upload": upload}}
            objects.append({"oid": each["oid"], "size": each["size"], **actions})
        return {"transfer": "basic", "objects": objects}

    def _commit(self, space: Repository, body: bytes, name: str) -> tuple[int, Any]:
        lines = [json.loads(line) for line in body.splitlines()]
        if (parent := lines[0]["value"].get("parentCommit")) and parent != space.sha:
            return 412, {"error": "A commit has happened since"}
        for line in lines[1:]:
            value = line["value"]
            if line["key"] == "file":
                space.files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                space.files[value["path"]] = self.objects[value["oid"]]
            else:
                del space.files[value["path"]]
        space.commits += 1
        return 200, {"commitUrl": f"{self.endpoint}/spaces/{name}/commit/{space.sha}", "commitOid": space.sha}

    @staticmethod
    def _runtime(space: Repository) -> dict[str, Any]:
        hardware = {"current": space.set["hardware"], "requested": space.set["hardware"]}
        return {"stage": "RUNNING", "hardware": hardware, "volumes": space.set["volumes"]}


class SignIn:
    """Signs one person in by OpenID Connect, as the Hub does for the visitors of a Space."""

    def __init__(self, client: str, token: str, scope: str) -> None:
        """Args:
        client: the id of the Space's application.
        token: that the person gives it.
        scope: what that is good for.
        """
        from joserfc.jwk import RSAKey

        self.client, self.token, self.scope = client, token, scope
        self.nonce = ""
        """As the Space has sent it along with the person."""
        self._key = RSAKey.generate_key(2048, {"kid": "one", "alg": "RS256", "use": "sig"})

    def answer(self, path: str, endpoint: str) -> dict[str, Any] | None:
        """What is at `path`; None for what has nothing to do with this."""
        if path == "/.well-known/openid-configuration":
            places = {"authorization": "authorize", "token": "token"}
            known = {f"{name}_endpoint": f"{endpoint}/oauth/{place}" for name, place in places.items()}
            algorithms = {"id_token_signing_alg_values_supported": ["RS256"]}
            return known | algorithms | {"issuer": endpoint, "jwks_uri": f"{endpoint}/oauth/jwks"}
        if path == "/oauth/jwks":
            return {"keys": [self._key.as_dict(private=False)]}
        if path == "/oauth/token":
            given = {"access_token": self.token, "token_type": "bearer", "expires_in": 3600, "scope": self.scope}
            return given | {"id_token": self._id_token(endpoint)}
        return None

    def _id_token(self, endpoint: str) -> str:
        from joserfc import jwt

        now = int(time.time())
        who = {"sub": "1", "name": "Ana", "preferred_username": "ana", "profile": "", "picture": ""}
        claims = who | {"iss": endpoint, "aud": self.client, "iat": now, "exp": now + 3600, "nonce": self.nonce}
        return jwt.encode({"alg": "RS256", "kid": "one"}, claims, self._key)


def _blob(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def _oid(held: bytes | None, mode: str) -> str | None:
    """As the Hub's: of a file in LFS that of its content, of any other git's."""
    if held is None:
        return None
    return hashlib.sha256(held).hexdigest() if mode == "lfs" else _blob(held)


@contextmanager
def served(hub: Hub) -> Iterator[Hub]:
    """`hub` at an address of this machine."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            if authorization := self.headers.get("authorization"):
                hub.tokens.add(authorization)
            token = (authorization or "").removeprefix("Bearer ")
            status, said = hub.answer(self.command, self.path, body, token)
            written = json.dumps(said).encode()
            self.send_response(status)
            if status == 404:
                self.send_header("x-error-code", "RepoNotFound")
            if status == 401:
                self.send_header("x-error-message", said["error"])
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(written)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(written)

        do_GET = do_POST = do_PUT = do_HEAD = _answer

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.endpoint = f"http://127.0.0.1:{server.server_port}"
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
