# SPDX-License-Identifier: GPL-2.0-or-later
"""A web server on this host that serves parts of one file, counts what it is asked for, and misbehaves when told to."""
import contextlib
import http.server
import re
import socket
import threading


class RangeServer:
    """Serves `content` at any path. `behave` is how: the name of a method of Handler after "answer_"."""

    def __init__(self, content, port=0, context=None):
        self.content = content
        self.etag, self.modified = '"first"', "Tue, 01 Sep 2026 12:00:00 GMT"
        self.behave, self.faults = "well", None
        self.location = None  # of redirections
        self.requests, self.served = [], 0  # (first, last) of each; bytes of bodies
        self.stop = threading.Event()  # lets those go that stall
        self.lock = threading.Lock()
        self.connections = set()
        handler = type("Handler", (Handler,), {"owner": self})
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", port), handler)
        self.server.daemon_threads = True
        if context:
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.port = self.server.server_address[1]
        self.url = f"http{'s' if context else ''}://127.0.0.1:{self.port}/disk"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self.thread.start()

    def misbehave(self, how, faults=None):
        """`faults`: so many requests, and then well again."""
        with self.lock:
            self.behave, self.faults = how, faults

    def behaviour(self):
        with self.lock:
            if self.behave == "well" or self.faults is None:
                return self.behave
            self.faults -= 1
            return self.behave if self.faults >= 0 else "well"

    def close(self):
        self.stop.set()
        self.server.shutdown()
        self.server.server_close()
        with self.lock:
            connections = list(self.connections)
        for connection in connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    owner = None

    def setup(self):
        super().setup()
        with self.owner.lock:
            self.owner.connections.add(self.connection)

    def finish(self):
        with contextlib.suppress(OSError):
            super().finish()
        with self.owner.lock:
            self.owner.connections.discard(self.connection)

    def handle_one_request(self):
        try:
            super().handle_one_request()
        except OSError:
            self.close_connection = True

    def log_message(self, *_):
        pass

    def do_GET(self):
        asked = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        self.first, self.last = (int(asked[1]), int(asked[2])) if asked else (0, len(self.owner.content) - 1)
        with self.owner.lock:
            self.owner.requests.append((self.first, self.last))
        getattr(self, "answer_" + self.owner.behaviour().replace("-", "_"))()

    def head(self, status, length, content_range=None, etag=True):
        self.send_response(status)
        if etag and self.owner.etag:
            self.send_header("ETag", self.owner.etag)
        if etag and self.owner.modified:
            self.send_header("Last-Modified", self.owner.modified)
        if content_range:
            self.send_header("Content-Range", content_range)
        if length is not None:
            self.send_header("Content-Length", str(length))
        self.end_headers()

    def body(self, data):
        with self.owner.lock:  # before whoever has it can look
            self.owner.served += len(data)
        self.wfile.write(data)

    def part(self):
        return self.owner.content[self.first:self.last + 1]

    def range_text(self, first=None, last=None, total=None):
        return (f"bytes {self.first if first is None else first}-{self.last if last is None else last}/"
                f"{len(self.owner.content) if total is None else total}")

    def empty(self, status):
        self.head(status, 0, etag=False)

    # How it answers

    def answer_well(self):
        if not self.part():
            self.head(416, 0, f"bytes */{len(self.owner.content)}")
            return
        self.last = min(self.last, len(self.owner.content) - 1)
        self.head(206, len(self.part()), self.range_text())
        self.body(self.part())

    def answer_no_ranges(self):
        self.head(200, len(self.owner.content))
        self.body(self.owner.content)

    def answer_without_range_header(self):
        self.head(206, len(self.part()))
        self.body(self.part())

    def answer_shifted(self):
        self.head(206, len(self.part()), self.range_text(first=self.first + 1, last=self.last + 1))
        self.body(self.part())

    def answer_shorter_part(self):
        self.head(206, len(self.part()) - 1, self.range_text(last=self.last - 1))
        self.body(self.part()[:-1])

    def answer_unknown_total(self):
        self.head(206, len(self.part()), self.range_text(total="*"))
        self.body(self.part())

    def answer_huge_total(self):
        self.head(206, len(self.part()), self.range_text(total=1 << 63))
        self.body(self.part())

    def answer_compressed(self):
        self.send_response(206)
        self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Range", self.range_text())
        self.send_header("Content-Length", str(len(self.part())))
        self.end_headers()
        self.body(self.part())

    def answer_without_tag(self):
        self.head(206, len(self.part()), self.range_text(), etag=False)
        self.body(self.part())

    def answer_too_long(self):
        self.head(206, None, self.range_text())
        self.body(self.part() + b"x" * 100000)
        self.close_connection = True

    def answer_huge_length(self):
        self.head(206, 1 << 62, self.range_text())
        self.body(self.part() + b"x" * 100000)
        self.close_connection = True

    def answer_negative_length(self):
        self.head(206, -1, self.range_text())
        self.body(self.part())
        self.close_connection = True

    def answer_cut(self):
        self.head(206, len(self.part()), self.range_text())
        self.body(self.part()[:len(self.part()) // 2])
        self.close_connection = True

    def answer_stall(self):
        self.head(206, len(self.part()), self.range_text())
        self.body(self.part()[:-1])
        self.wfile.flush()
        self.owner.stop.wait()
        self.close_connection = True

    def answer_silence(self):
        self.owner.stop.wait()
        self.close_connection = True

    def answer_endless_headers(self):
        self.send_response(206)
        with contextlib.suppress(OSError):
            for i in range(1000000):
                self.wfile.write(b"X-Filler-%d: %s\r\n" % (i, b"y" * 1000))
                if self.owner.stop.is_set():
                    break
        self.close_connection = True

    def answer_500(self):
        self.empty(500)

    def answer_503(self):
        self.empty(503)

    def answer_403(self):
        self.empty(403)

    def answer_404(self):
        self.empty(404)

    def answer_redirect(self):
        """To `location`, unless it is already there."""
        if self.owner.location.startswith("/") and self.path == self.owner.location:
            self.answer_well()
            return
        self.send_response(302)
        self.send_header("Location", self.owner.location)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def answer_redirect_for_ever(self):
        self.send_response(302)
        self.send_header("Location", self.path + "x")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def answer_garbage(self):
        self.wfile.write(b"\0\xff" * 1000 + b"\r\n\r\n")
        self.close_connection = True
