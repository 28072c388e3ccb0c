"""One end of a line to a machine: what came is kept, and can be waited for."""

import codecs
import re
import threading
import time

# No more than this is searched for what is expected; a machine that floods its console loses.
WINDOW = 1 << 18
# What moves a terminal's cursor, and the beginning of such a thing at the end of what came.
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[()][0-9A-B]|\x1b[=>78c]|[\x07\r]")
UNFINISHED = re.compile(r"\x1b(\[[0-9;?]*|[()])?$")


class Failed(Exception):
    """A scene that did not go as it should; the text says what was expected and what was seen."""


class Line:
    """Reads a connected socket in the background, so that the machine never waits for a reader."""

    def __init__(self, socket, name, copy=None):
        self.socket, self.name, self.copy = socket, name, copy
        self.text = ""  # all that came, without escapes
        self.at = 0  # what was expected up to here is not looked at again
        self.closed = False
        self.news = threading.Condition()
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        rest = ""
        while True:
            try:
                piece = self.socket.recv(65536)
            except OSError:
                piece = b""
            rest += decoder.decode(piece, final=not piece)
            unfinished = UNFINISHED.search(rest)
            whole, rest = (rest[: unfinished.start()], unfinished[0]) if unfinished else (rest, "")
            with self.news:
                self.closed = not piece
                self.text += ESCAPES.sub("", whole)
                self.news.notify_all()
            if self.copy:
                self.copy.write(piece)
                self.copy.flush()
            if not piece:
                return

    def send(self, text):
        """Sends text as it is; a line that is closed takes it without complaint."""
        try:
            self.socket.sendall(text.encode())
        except OSError:
            pass

    def expect(self, pattern, limit, what=None, again=False):
        """Waits until the regular expression `pattern` is in what came after the last thing that was
        expected (with `again`: in all that ever came), at most `limit` seconds. Gives the match.
        """
        wanted = re.compile(pattern, re.MULTILINE)
        until = time.monotonic() + limit
        with self.news:
            while True:
                start = max(0 if again else self.at, len(self.text) - WINDOW)
                found = wanted.search(self.text, start)
                if found:
                    if not again:
                        self.at = found.end()
                    return found
                left = until - time.monotonic()
                if self.closed or left <= 0:
                    why = "the line closed" if self.closed else f"{limit:g} s passed"
                    raise Failed(f"expected {what or repr(pattern)} on the {self.name}, and {why}")
                self.news.wait(min(left, 1))

    def last_lines(self, count):
        """The last lines, for a report."""
        return [line for line in self.text[-WINDOW:].split("\n") if line.strip()][-count:]
