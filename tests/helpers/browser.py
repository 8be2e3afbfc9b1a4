"""A real browser without a window, driven by its own protocol, and a proxy that notes what it asks the network for."""

import base64
import contextlib
import json
import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# The browser without a window, that is: the one with asks the network for updates and the like by itself.
CHROMIUM = shutil.which("chromium-headless-shell") or shutil.which("chrome-headless-shell")
SECONDS = 60


class Proxy:
    """Takes connections, notes the first line of what each asks for, and answers nothing."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self._take, daemon=True).start()

    def _take(self) -> None:
        with contextlib.suppress(OSError):  # the listener is closed at the end
            while True:
                connection, _ = self.listener.accept()
                with connection:
                    connection.settimeout(SECONDS)
                    self.asked.append(connection.recv(4096).split(b"\r\n")[0].decode(errors="replace"))


class Browser:
    """One page of Chromium, which reaches the network through `proxy` alone, even this machine."""

    def __init__(self, profile: Path, proxy: Proxy):
        own, theirs = os.pipe(), os.pipe()  # commands to the browser, messages from it

        def wire() -> None:  # the browser reads commands from 3 and writes messages to 4
            kept = os.dup(own[0]), os.dup(theirs[1])
            for number, end in zip((3, 4), kept, strict=True):
                os.dup2(end, number)

        command = [str(CHROMIUM), "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe", "about:blank"]
        command += [f"--user-data-dir={profile}", f"--proxy-server=http://{proxy.address}"]
        command += ["--proxy-bypass-list=<-loopback>"]
        self.process = subprocess.Popen(command, stderr=subprocess.DEVNULL, close_fds=False, preexec_fn=wire)
        os.close(own[0])
        os.close(theirs[1])
        self.commands, self.messages = os.fdopen(own[1], "wb"), os.fdopen(theirs[0], "rb")
        self.number, self.session, self.buffer = 0, "", b""
        (page,) = [each for each in self.call("Target.getTargets")["targetInfos"] if each["type"] == "page"]
        self.session = self.call("Target.attachToTarget", targetId=page["targetId"], flatten=True)["sessionId"]
        self.call("Page.enable")

    def call(self, method: str, **params: Any) -> dict:
        """Give a command and return its result."""
        self.number += 1
        message: dict[str, Any] = {"id": self.number, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        self.commands.write(json.dumps(message).encode() + b"\0")
        self.commands.flush()
        while True:
            answer = json.loads(self._message())
            if answer.get("id") == self.number:
                assert "error" not in answer, answer["error"]
                return answer["result"]

    def _message(self) -> bytes:
        while b"\0" not in self.buffer:
            read = os.read(self.messages.fileno(), 1 << 16)
            assert read, "the browser has ended"
            self.buffer += read
        message, self.buffer = self.buffer.split(b"\0", 1)
        return message

    def open(self, url: str, width: int = 1366, height: int = 768) -> None:
        """Show a page in a window of this size."""
        phone = width < 600
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": phone}
        self.call("Emulation.setDeviceMetricsOverride", **metrics)
        self.call("Page.navigate", url=url)
        self.wait("document.readyState === 'complete'")

    def ask(self, expression: str, frame: str = "") -> Any:
        """Return the value of JavaScript in the page, or in a frame of it."""
        where = {}
        if frame:
            where = {"contextId": self.call("Page.createIsolatedWorld", frameId=frame)["executionContextId"]}
        given = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True, **where)
        assert "exceptionDetails" not in given, (expression, given["exceptionDetails"])
        return given["result"].get("value")

    def wait(self, expression: str, frame: str = "") -> Any:
        """Wait until JavaScript in the page gives something, and return it."""
        end = time.monotonic() + SECONDS
        while not (value := self.ask(expression, frame)):
            assert time.monotonic() < end, f"not in {SECONDS} s: {expression}"
            time.sleep(0.05)
        return value

    def frame(self, heading: str) -> str:
        """Return the only frame in the page, when it shows a document with this heading."""
        there = (
            f"document.readyState === 'complete' && document.querySelector('h1')?.innerText === {json.dumps(heading)}"
        )
        end = time.monotonic() + SECONDS
        while True:
            frames = self.call("Page.getFrameTree")["frameTree"].get("childFrames", [])
            with contextlib.suppress(AssertionError):  # it goes on to another page
                if frames and self.ask(there, frames[0]["frame"]["id"]):
                    return frames[0]["frame"]["id"]
            assert time.monotonic() < end, f"no frame with the heading {heading}"
            time.sleep(0.05)

    def screenshot(self, path: Path) -> None:
        """Save what the window shows as PNG."""
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot")["data"]))

    def close(self) -> None:
        """End the browser."""
        with contextlib.suppress(Exception):
            self.session = ""
            self.call("Browser.close")
        self.process.wait(SECONDS)


@contextlib.contextmanager
def browsing(profile: Path) -> Iterator[tuple[Browser, Proxy]]:
    """Yield a browser, and the proxy that notes what it asks for."""
    proxy = Proxy()
    browser = Browser(profile, proxy)
    try:
        yield browser, proxy
    finally:
        browser.close()
        proxy.listener.close()
