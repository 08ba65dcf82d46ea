"""Sessions of random keys at the REPL, each on a terminal of its own.

    python3 spec/lua/program/terminal.py build/fsam-lua [FIRST_SEED [SESSIONS]]
    python3 spec/lua/program/terminal.py build/fsam-lua ROWSxCOLUMNS TERM FILE_OF_KEYS

A session is a function of its seed: the size of the window, the kind of terminal, keys, pastes,
changes of the size. It must then still evaluate a sum and end at Ctrl-D with exit code 0; its own
keys may have ended it in that way before. What does not is printed, and the exit code is 1 where
there was any. Needs nothing but Python.
"""

import fcntl
import os
import pty
import random
import select
import shutil
import signal
import struct
import sys
import tempfile
import termios
import time

ANSWER = b"82943"  # what the sum at the end gives
SUM = b"41471 + 41472\r"
SECONDS = 10  # for anything that is waited for

SIZES = [(24, 80), (2, 3), (1, 1), (40, 100), (5, 9), (24, 500), (60, 20), (2, 200), (50, 2),
         (0, 0)]
TERMS = ["xterm", "vt100", "xterm-256color", "dumb", "linux", "screen", "nonsense", "ansi"]
WORDS = ["fsam.", "for i = 1, 3 do", "end", "print(1)", "local x = 1", "x = {", "}", "string.fo",
         "äöü€", "日本語", "\U0001f469\u200d\U0001f469\u200d\U0001f467", "\u0301" * 5, '"', "'",
         "[[", "]]", "--", "m:", "?", "error('x')", "help", " " * 30, "a" * 200, "\t",
         "fsam.data.\t\t", "_", "= 1", "(", ")", "nil.x", "while false do"]
# Escape sequences, finished and not.
KEYS = ["\x1b[A", "\x1b[B", "\x1b[C", "\x1b[D", "\x1b[H", "\x1b[F", "\x1b[3~", "\x1b[1;5D",
        "\x1bOA", "\x1b[1~", "\x1b[200~", "\x1b[201~", "\x1b[999~", "\x1b[", "\x1b", "\x12",
        "\x13", "\x16", "\x1bx", '\x1bx"', "\x1bxbind\r", "\x1b<", "\x1b>", "\x1b9", "\x1b0",
        "\x1b\x1b"]


def random_keys(draw):
    """One piece of what is typed."""
    kind = draw.random()
    if kind < 0.25:
        return bytes([draw.randrange(256)])
    if kind < 0.45:
        return bytes([draw.randrange(32)])
    if kind < 0.6:
        return b"\x1b" + bytes([draw.randrange(256)])
    if kind < 0.75:
        return draw.choice(KEYS).encode()
    if kind < 0.8:
        text = "\n".join(draw.choice(WORDS) for _ in range(draw.randrange(1, 5)))
        return b"\x1b[200~" + text.encode() + b"\x1b[201~"
    if kind < 0.83:
        return b"\0" * draw.randrange(1, 40)
    if kind < 0.9:
        return b"\r"
    return draw.choice(WORDS).encode()


class Session:
    def __init__(self, program, size, term):
        self.folder = tempfile.mkdtemp(prefix="terminal-")
        self.size = size
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.chdir(self.folder)
            resize(0, size)
            os.environ.update(TERM=term, HOME=self.folder, XDG_STATE_HOME=self.folder)
            os.execv(program, [program])
        self.shown = b""
        self.status = None

    def take(self, seconds):
        """Takes what the terminal shows; False when there is no more to come."""
        ready, _, _ = select.select([self.fd], [], [], seconds)
        if not ready:
            return True
        try:
            new = os.read(self.fd, 65536)
        except OSError:
            new = b""
        self.shown += new
        return bool(new)

    def wait_for(self, text, seconds=SECONDS):
        end = time.monotonic() + seconds
        while text not in self.shown:
            if time.monotonic() > end or not self.take(0.05):
                return False
        return True

    def rest(self, seconds):
        """Reads for so long."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if not self.take(0.05):
                time.sleep(0.01)

    def type(self, keys):
        """Types keys, reading meanwhile: both sides of a terminal may be full."""
        end = time.monotonic() + SECONDS
        while keys and time.monotonic() < end:
            _, ready, _ = select.select([], [self.fd], [], 0.05)
            try:
                if ready:
                    keys = keys[os.write(self.fd, keys[:512]):]
            except OSError:
                return
            self.take(0)

    def end(self):
        """Asks for a sum and leaves; returns what went wrong, or None."""
        # The output may be halted, a paste or a search still be open, and a loop run.
        # A second Ctrl-C before the first is answered ends the program, as it should.
        for keys, seconds in ((b"\x11", 0.05), (b"\x1b[201~", 0.05), (b"\x07", 0.05),
                              (b"\x03", 0.5), (b"\x03", 0.05)):
            self.type(keys)
            self.rest(seconds)
        answered = False
        for attempt in range(8):
            # An editor's line may still hold something; a window without room for an editor takes
            # the keys that empty a line for text.
            self.type((b"\x01\x0b" if attempt % 2 == 0 else b"") + SUM)
            answered = self.wait_for(ANSWER, 2)
            if answered or self.exited():
                break
            self.type(b"]]\r\x03")
        # Ctrl-D among the keys, on an empty line, ends a session early.
        closed = time.monotonic() + 1
        while not answered and not self.exited() and time.monotonic() < closed:
            self.take(0.05)
            time.sleep(0.01)
        problem = None if answered or self.exited() else "no answer"
        self.type(b"\x03\x01\x0b\x04")
        closing = time.monotonic() + SECONDS
        while not self.exited() and time.monotonic() < closing:
            self.take(0.02)
            self.type(b"\x04") if self.status is None else None
        if self.status is None:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
            problem = "hangs"
        elif os.WIFSIGNALED(self.status):
            problem = "signal %d" % os.WTERMSIG(self.status)
        elif os.WEXITSTATUS(self.status) != 0:
            problem = "exit code %d" % os.WEXITSTATUS(self.status)
        os.close(self.fd)
        shutil.rmtree(self.folder)
        return problem

    def exited(self):
        if self.status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self.status = status if pid else None
        return self.status is not None


def resize(fd, size):
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", size[0], size[1], 0, 0))


def drawn(program, seed):
    """The session of a seed: what went wrong or None, its size, its terminal, what was typed."""
    draw = random.Random(seed)
    size, term = draw.choice(SIZES), draw.choice(TERMS)
    session = Session(program, size, term)
    session.wait_for(b"> ")
    typed = []
    for _ in range(draw.randrange(1, 60)):
        # Ctrl-Z would need a shell to go on, and Ctrl-\ ends every program on a plain terminal.
        keys = random_keys(draw).replace(b"\x1a", b"").replace(b"\x1c", b"")
        typed.append(keys)
        session.type(keys)
        if draw.random() < 0.05:
            resize(session.fd, draw.choice(SIZES))
        if draw.random() < 0.2:
            session.take(0.002)
    return session.end(), size, term, typed, session.shown


def report(name, size, term, problem, typed, shown):
    print("%s: %s at %dx%d, %s\n  typed %r\n  ended in %r" % (name, problem, size[0], size[1], term,
                                                            b"".join(typed), shown[-300:]))


def main(words):
    program = os.path.abspath(words[0])
    if len(words) == 4:
        size, term = tuple(int(n) for n in words[1].split("x")), words[2]
        session = Session(program, size, term)
        session.wait_for(b"> ")
        with open(words[3], "rb") as file:
            keys = file.read()
        session.type(keys)
        problem = session.end()
        if problem:
            report(words[3], size, term, problem, [keys], session.shown)
        return 1 if problem else 0
    first = int(words[1]) if len(words) > 1 else 1
    count = int(words[2]) if len(words) > 2 else 100
    failed = 0
    for seed in range(first, first + count):
        problem, size, term, typed, shown = drawn(program, seed)
        if problem:
            failed += 1
            report("seed %d" % seed, size, term, problem, typed, shown)
    print("%d sessions, %d failed" % (count, failed))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
