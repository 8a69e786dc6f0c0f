"""Looks at a page in headless Chromium: screenshots at three widths, light and dark, and what is wrong with it.

    python3 scripts/report/screens.py runs/mine/report.html --out /tmp/screens

It fails if the browser's console has an error, if the page asks for anything over the network, if it is wider than its
window, or if a plot, a picture or a heading is not fit for a screen reader. It needs `chromium` (Debian's package, or any
Chromium or Chrome named by $CHROMIUM) and nothing else: it speaks the browser's protocol over a pipe.
"""

import argparse
import base64
import fcntl
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

WIDTHS = (360, 1024, 1920)
SCHEMES = ("light", "dark")

# What is asked of a page that was loaded. Every entry of the answer is a complaint.
CHECKS = """
(() => {
  const wrong = [];
  const all = (selector) => [...document.querySelectorAll(selector)];
  const wide = document.documentElement.scrollWidth, room = window.innerWidth;
  if (wide > room) {
    const out = all("body *").filter((e) => e.getBoundingClientRect().right > room + 1 && !e.closest(".scroll"));
    wrong.push(`the page is ${wide} px wide in a window of ${room}: ` +
      out.slice(0, 3).map((e) => e.tagName + "." + (e.getAttribute("class") || "")).join(", "));
  }
  for (const e of all("svg:not([aria-hidden])"))
    if (e.getAttribute("role") !== "img" || !e.getAttribute("aria-label") || !e.querySelector("title, desc"))
      wrong.push("a drawing without a description");
  for (const e of all("svg.plot")) {
    const box = e.getBoundingClientRect();
    for (const t of e.querySelectorAll("text")) {
      const own = t.getBoundingClientRect();
      if (own.left < box.left - 1 || own.right > box.right + 1) wrong.push(`"${t.textContent}" is cut off in ${e.querySelector("title").textContent}`);
    }
  }
  for (const e of all("img")) if (!e.alt || !e.complete || !e.naturalWidth) wrong.push("a picture that is not there, or has no text");
  for (const e of all("figure")) if (!e.querySelector("table") && !e.closest(".result")) wrong.push("a plot without a table");
  let level = 0;
  for (const e of all("h1, h2, h3, h4")) {
    const own = Number(e.tagName[1]);
    if (own > level + 1) wrong.push(`heading "${e.textContent}" skips a level`);
    level = own;
  }
  for (const e of all("nav a")) if (!document.querySelector(e.getAttribute("href"))) wrong.push(`a link to nowhere: ${e.textContent}`);
  for (const e of all(".tiles strong, h1, h2, h3, th, td"))
    if (/NaN|Infinity|undefined/.test(e.textContent)) wrong.push(`"${e.textContent}" is no number`);
  return wrong;
})()
"""


class Browser:
    """Chromium, spoken to over a pipe."""

    def __init__(self, program):
        self.profile = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        to_read, to_write = os.pipe()
        from_read, from_write = os.pipe()

        def wire():
            # The ends may be at these places themselves, so they are moved out of the way first.
            read, write = (fcntl.fcntl(end, fcntl.F_DUPFD, 10) for end in (to_read, from_write))
            os.dup2(read, 3)
            os.dup2(write, 4)

        command = [program, "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run",
                   "--disable-dev-shm-usage", "--remote-debugging-pipe", f"--user-data-dir={self.profile.name}", "about:blank"]
        self.process = subprocess.Popen(command, preexec_fn=wire, close_fds=False, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL)
        os.close(to_read)
        os.close(from_write)
        self.to, self.answers = os.fdopen(to_write, "wb", 0), os.fdopen(from_read, "rb")
        self.count, self.events = 0, []
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.ask(f"{domain}.enable")

    def message(self):
        text = bytearray()
        while (byte := self.answers.read(1)) != b"\0":
            if not byte:
                sys.exit("the browser has ended")
            text += byte
        return json.loads(text)

    def ask(self, method, **params):
        self.count += 1
        question = {"id": self.count, "method": method, "params": params}
        if getattr(self, "session", None):
            question["sessionId"] = self.session
        self.to.write(json.dumps(question).encode() + b"\0")
        while True:
            message = self.message()
            if message.get("id") == self.count:
                if "error" in message:
                    sys.exit(f"{method}: {message['error']}")
                return message["result"]
            self.events.append(message)

    def wait(self, method):
        while not any(event.get("method") == method for event in self.events):
            self.events.append(self.message())

    def close(self):
        self.process.terminate()
        self.process.wait()
        self.profile.cleanup()


def complaints(events):
    """What the browser said while it loaded the page."""
    for event in events:
        params = event.get("params", {})
        if event.get("method") == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
            yield f"console: {params['entry']['text']}"
        if event.get("method") == "Runtime.exceptionThrown":
            yield f"exception: {params['exceptionDetails']['text']}"
        if event.get("method") == "Network.requestWillBeSent" and not params["request"]["url"].startswith(("file:", "data:")):
            yield f"the page asks for {params['request']['url']}"


def look(browser, page, width, scheme, out):
    browser.events.clear()
    browser.ask("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=width < 600)
    browser.ask("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
    browser.ask("Page.navigate", url=page.resolve().as_uri())
    browser.wait("Page.loadEventFired")
    # Pictures below the window are loaded when they come near it.
    script = "(async () => { for (const e of document.images) { e.loading = 'eager'; await e.decode().catch(() => {}); } })()"
    browser.ask("Runtime.evaluate", expression=script, awaitPromise=True)
    found = browser.ask("Runtime.evaluate", expression=CHECKS, returnByValue=True)
    wrong = list(complaints(browser.events)) + found["result"].get("value", [str(found)])
    height = browser.ask("Runtime.evaluate", expression="document.documentElement.scrollHeight")["result"]["value"]
    clip = {"x": 0, "y": 0, "width": width, "height": min(height, 16000), "scale": 1}
    shot = browser.ask("Page.captureScreenshot", format="png", captureBeyondViewport=True, clip=clip)
    name = out / f"{page.stem}-{width}-{scheme}.png"
    name.write_bytes(base64.b64decode(shot["data"]))
    print(f"{name}: {width} x {height}, {len(wrong)} complaints")
    return [f"{width} px, {scheme}: {complaint}" for complaint in dict.fromkeys(wrong)]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pages", nargs="+", type=pathlib.Path)
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("screens"))
    args = parser.parse_args()
    program = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    if not program:
        sys.exit("there is no Chromium: install Debian's package `chromium`, or name one by $CHROMIUM")
    args.out.mkdir(parents=True, exist_ok=True)
    browser, wrong = Browser(program), []
    for page in args.pages:
        for width in WIDTHS:
            for scheme in SCHEMES:
                wrong += [f"{page}: {complaint}" for complaint in look(browser, page, width, scheme, args.out)]
    browser.close()
    print("\n".join(wrong))
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
