"""vLLM's and SGLang's ways of speaking over real HTTP: adapters, answers as streams of tokens, probabilities.

What their own sources say of requests and answers (vLLM 0.32: `entrypoints/openai/completion` and
`entrypoints/serve/lora`; SGLang 0.5: `entrypoints/openai/serving_completions.py` and `entrypoints/http_server.py`),
and nothing of a model.
"""

import json
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler

from tests.unit.eval.faulty_server import Listening

END = 2


class Engine:
    """Its adapters, what it was asked, and how it answers: `answer(prompt, adapter)` → tokens."""

    def __init__(self, kind, url):
        self.kind, self.url, self.key = kind, url, ""
        self.base = "owner/tiny"
        self.model = {"id": "owner/tiny", "root": "owner/tiny", "owned_by": kind, "max_model_len": 64}
        self.adapters = {}
        self.answer = lambda prompt, adapter: [len(prompt), len(adapter), 7, END]
        self.probabilities = lambda prompt, adapter: {5: -1.0, 6: -2.0}
        self.takes = (200, "Success")
        """What it says of an adapter that it is given."""
        self.updates = True
        """Whether it takes adapters while it runs."""
        self.asked = []
        self.breaks_after = None
        """So many tokens into the next answer the connection breaks, once."""
        self.status = None
        """Says this to whatever is asked."""
        self.token_s = 0.0

    @property
    def entries(self):
        others = [
            {"id": name, "root": path, "parent": self.base, "owned_by": self.kind}
            for name, path in self.adapters.items()
        ]
        return [self.model, *others]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    of: Engine

    def do_GET(self):
        if self.refused():
            return
        found = {"object": "list", "data": self.of.entries} if self.path == "/v1/models" else None
        self.send(200 if found else 404, found or {"detail": "Not Found"})

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if self.refused():
            return
        self.of.asked.append((self.path, body))
        root = "/v1" if self.of.kind == "vllm" else ""
        if self.path in (f"{root}/load_lora_adapter", f"{root}/unload_lora_adapter") and self.of.updates:
            self.adapter(body)
        elif self.path == "/v1/completions" and body.get("stream"):
            self.completion(body)
        elif self.path == "/v1/completions" and self.of.kind == "vllm":
            self.vllm_probabilities(body)
        elif self.path == "/generate" and self.of.kind == "sglang":
            self.sglang_probabilities(body)
        else:
            self.send(404, {"detail": "Not Found"})

    def refused(self):
        if self.of.status is not None:
            self.send(*self.of.status)
        elif self.of.key and self.headers.get("authorization") != f"Bearer {self.of.key}":
            self.send(401, {"error": "Unauthorized"})
        else:
            return False
        return True

    def adapter(self, body):
        name = body["lora_name"]
        if self.path.endswith("/unload_lora_adapter"):
            known = self.of.adapters.pop(name, None)
            self.send(200 if known else 404, {"error": {"message": f"{name} cannot be found"}})
            return
        if name in self.of.adapters:
            said = f"The lora adapter '{name}' has already been loaded."
            self.send(400, {"error": {"message": said}, "error_message": said})
            return
        if self.of.takes[0] == 200:
            self.of.adapters[name] = body["lora_path"]
        self.send(*self.of.takes)

    def completion(self, body):
        adapter = self.adapter_of(body)
        if adapter is None:
            self.send(404, {"error": {"message": f"The model `{body['model']}` does not exist."}})
            return
        tokens = self.of.answer(body["prompt"], adapter)[: body["max_tokens"]]
        breaks_after, self.of.breaks_after = self.of.breaks_after, None
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("connection", "close")
        self.end_headers()
        self.close_connection = True
        for number, token in enumerate(tokens):
            if number == breaks_after:
                self.connection.shutdown(2)
                return
            ended = token in body["stop_token_ids"]
            reason = "stop" if ended else "length" if number + 1 == body["max_tokens"] else None
            choice = {"index": 0, "text": "…", "token_ids": [token], "finish_reason": reason}
            self.event({"choices": [choice]})
            time.sleep(self.of.token_s)
        self.event("[DONE]")

    def vllm_probabilities(self, body):
        adapter = self.adapter_of(body)
        found = self.of.probabilities(body["prompt"], adapter)
        wanted = body["logprob_token_ids"] if body["logprobs"] is not None else ()
        likeliest = {f"token_id:{token}": found[token] for token in wanted if token in found}
        self.send(200, {"choices": [{"text": "", "logprobs": {"top_logprobs": [likeliest]}}]})

    def sglang_probabilities(self, body):
        found = self.of.probabilities(body["input_ids"], body["lora_path"] or "")
        rows = [[found[token], token, None] for token in body["token_ids_logprob"] if token in found]
        self.send(200, {"text": "", "meta_info": {"output_token_ids_logprobs": [rows]}})

    def adapter_of(self, body):
        """The adapter of a completion, empty for the base; None where there is none of that name."""
        name = body["model"] if self.of.kind == "vllm" else body["lora_path"]
        if name in (None, self.of.base):
            return ""
        return name if name in self.of.adapters else None

    def event(self, found):
        data = found if isinstance(found, str) else json.dumps(found)
        self.wfile.write(f"data: {data}\n\n".encode())
        self.wfile.flush()

    def send(self, status, body):
        data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass


@contextmanager
def serving(kind, port=0):
    """An engine of that kind on a free port of the loopback, or on one that was its before."""
    handler = type("OfOne", (Handler,), {})
    http = Listening(("127.0.0.1", port), handler)
    handler.of = Engine(kind, f"http://127.0.0.1:{http.server_port}/v1")
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield handler.of
    finally:
        http.shutdown()
        http.server_close()
        thread.join()
