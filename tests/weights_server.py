"""A server on this machine that hands out made-up weights, as slowly and badly as a test wants."""

from __future__ import annotations

import contextlib
import http.server
import threading

WAIT_S = 20


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        server = self.server
        start = self.headers.get("Range")
        server.ranges.append(start)
        if server.status != 200:
            self.send_error(server.status)
            return
        if self.path != "/file":
            self.send_response(302)
            self.send_header("Location", "/file")
            self.end_headers()
            return
        first = int(start.removeprefix("bytes=").removesuffix("-")) if start and server.resumes else 0
        if first and first >= len(server.content):
            self.send_error(416)
            return
        body = server.content[first:]
        self.send_response(206 if first else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        kept = server.breaks.pop(0) if server.breaks else len(body)
        half = min(kept, len(body) // 2)
        self.send(body[:half])
        server.half_sent.set()
        assert server.go_on.wait(WAIT_S)
        self.send(body[half:kept])

    def send(self, data):
        self.server.sent += len(data)
        with contextlib.suppress(ConnectionError):  # the other side stopped
            self.wfile.write(data)

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def serve(content):
    """Serves content under /file; `breaks` says after how many bytes the next answers break off.

    While `go_on` is not set, an answer waits after its first half.
    """
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.content, server.status, server.resumes, server.breaks = content, 200, True, []
        server.ranges, server.sent = [], 0
        server.half_sent, server.go_on = threading.Event(), threading.Event()
        server.go_on.set()
        server.url = f"http://127.0.0.1:{server.server_port}/file"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.go_on.set()
        server.shutdown()
        thread.join()
