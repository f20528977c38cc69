"""Starts the server for the tests: PLAZA_BIN, or the result of `cargo build`."""

import os
import pathlib
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]


class Server:
    def __init__(self, *arguments):
        program = os.environ.get("PLAZA_BIN", ROOT / "target" / "debug" / "plaza")
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PLAZA_")}
        self.process = subprocess.Popen(
            [program, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--memory", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=environment,
        )
        line = self.process.stdout.readline()
        assert "http://" in line, f"the server said {line!r} in place of its address"
        self.address = line.split("http://")[1].strip()

    def url(self, path):
        return f"ws://{self.address}{path}"

    def stop(self):
        """Stops it with SIGTERM; returns its exit code."""
        self.process.terminate()
        self.process.stdout.close()
        return self.process.wait(timeout=30)
