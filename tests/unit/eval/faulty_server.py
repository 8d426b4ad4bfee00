"""A server that speaks OpenAI's protocol over real HTTP, and goes wrong as a test tells it to."""

import json
import sys
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


def completion(text, *, tokens=3, prompt_tokens=7, finish="stop", model="tiny", **message):
    """The body of a right answer; `message` has more of its fields."""
    choice = {"index": 0, "finish_reason": finish, "message": {"role": "assistant", "content": text, **message}}
    usage = {"prompt_tokens": prompt_tokens, "completion_tokens": tokens}
    return {"model": model, "choices": [choice], "usage": usage}


class Server:
    """What it is asked, and how it answers: `answer(number, body)`, with the number of the question from 1.

    It gives a body to send as JSON; a status and a body, and headers besides; or a function that is given the
    handler and writes whatever it likes.
    """

    def __init__(self, url):
        self.url = url
        self.models = [{"id": "tiny", "object": "model"}]
        self.adapters = (404, {"error": "not found"})
        """What llama.cpp says of those that it applies."""
        self.answer = lambda number, body: completion("to " + body["messages"][-1]["content"])
        self.asked = []
        """Of each question its path, headers and body."""
        self.at_once = self.most_at_once = 0
        self.seconds = 0.0
        """That each answer takes."""
        self.lock = threading.Lock()

    @property
    def texts(self):
        """The last message of each question."""
        return [body["messages"][-1]["content"] for _, _, body in self.asked]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    of: Server

    def do_GET(self):
        if self.path == "/v1/models" and self.of.models is not None:
            self.send(200, {"object": "list", "data": self.of.models})
        elif self.path == "/lora-adapters":
            self.send(*self.of.adapters)
        else:
            self.send(404, {"error": {"message": "not found"}})

    def do_POST(self):
        of = self.of
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        with of.lock:
            of.asked.append((self.path, dict(self.headers), body))
            number = len(of.asked)
            of.at_once += 1
            of.most_at_once = max(of.most_at_once, of.at_once)
        try:
            time.sleep(of.seconds)
            answer = of.answer(number, body)
            if callable(answer):
                answer(self)
            elif isinstance(answer, tuple):
                self.send(*answer)
            else:
                self.send(200, answer)
        except OSError:  # whoever asked has gone
            self.close_connection = True
        finally:
            with of.lock:
                of.at_once -= 1

    def send(self, status, body, headers=()):
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(data)))
        for name, value in dict(headers).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass


class Listening(ThreadingHTTPServer):
    def handle_error(self, request, client_address):
        """Of a test's own mistake the traceback is shown; whoever asked may go at any time."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


@contextmanager
def serving():
    """A server on a free port of the loopback."""
    handler = type("OfOne", (Handler,), {})
    http = Listening(("127.0.0.1", 0), handler)
    handler.of = Server(f"http://127.0.0.1:{http.server_port}/v1")
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield handler.of
    finally:
        http.shutdown()
        http.server_close()
        thread.join()
