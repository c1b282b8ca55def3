"""Downloads from the Hugging Face hub, here from a mirror on this machine."""

from __future__ import annotations

import hashlib
import http.server
import json
import os
import subprocess
import sys
import threading

import pytest

CONTENT = {"config.json": b"{}", "model.safetensors": bytes(25_000_000)}
COMMIT = "a" * 40
PROGRAM = """
import json
from das_ag.models.download import DownloadStopped
from das_ag.models.hub import HubFolder

reports = []

def report(received, total):
    reports.append((received, total))
    if stops and received > 1_000_000:
        raise DownloadStopped

folder = HubFolder("SigLIP", "SIGLIP_MODEL_PATH", "Apache-2.0", "someone/siglip", None, None)
stops = True
try:
    folder.fetch(report)
except DownloadStopped:
    assert not folder.is_there()
stops = False
folder.fetch(report)
print(json.dumps([reports, folder.digest()]))
"""


class Mirror(http.server.BaseHTTPRequestHandler):
    """As much of the hub as a download needs."""

    protocol_version = "HTTP/1.1"

    def do_HEAD(self):
        name = self.path.rpartition("/")[2]
        self.answer(CONTENT[name], ETag=f'"{hashlib.sha256(CONTENT[name]).hexdigest()}"', send=self.command == "GET")

    def do_GET(self):
        if "/tree/" in self.path:
            self.tell([{"type": "file", "path": n, "size": len(c), "oid": "0" * 40} for n, c in CONTENT.items()])
        elif self.path.startswith("/api/models/someone/siglip"):
            files = [{"rfilename": name} for name in CONTENT]
            self.tell({"_id": "1", "id": "someone/siglip", "sha": COMMIT, "siblings": files})
        elif "/resolve/" in self.path:
            self.do_HEAD()
        else:
            self.send_error(404)

    def tell(self, values):
        self.answer(json.dumps(values).encode())

    def answer(self, body, *, send=True, **headers):
        self.send_response(200)
        for name, value in {**headers, "X-Repo-Commit": COMMIT, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if send:
            self.wfile.write(body)

    def log_message(self, *_):
        pass


def test_a_download_reports_stops_and_continues(tmp_path):
    pytest.importorskip("huggingface_hub", reason="needs the package huggingface_hub")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Mirror) as server:
        server.handle_error = lambda *_: None  # the client hangs up when it is stopped
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
        variables = {
            "HF_ENDPOINT": f"http://127.0.0.1:{server.server_port}", "HF_HOME": str(tmp_path), "no_proxy": "127.0.0.1",
            "HF_HUB_OFFLINE": "0",
        }  # fmt: skip
        try:
            done = subprocess.run(
                [sys.executable, "-c", PROGRAM], env=os.environ | variables, capture_output=True, text=True, check=False
            )
        finally:
            server.shutdown()
    assert done.returncode == 0, done.stderr
    reports, digest = json.loads(done.stdout)
    assert max(received for received, _ in reports) in (25_000_000, 25_000_002)  # without the file that was there
    assert digest == hashlib.sha256(CONTENT["model.safetensors"]).hexdigest()
