"""Every notebook in JupyterLab, in a browser: all cells run, and every control redraws its picture.

`make browser` runs these tests; elsewhere they are skipped, because they need Playwright and
Chromium (the variable CHROMIUM names another place than /usr/bin/chromium). The redraw times are
printed at the end. When a test fails, a
picture of what was on the screen is kept in build/browser.
"""

import contextlib
import json
import os
import re
import secrets
import shutil
import socket
import statistics
import subprocess
import sys
import time
import urllib.error
import urllib.request

import pytest
from notebook_files import NOTEBOOKS, ROOT, notebook_paths

CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
GOAL, LIMIT = 150, 1000  # ms from key press to changed picture, median of a figure, quiet and noisy
KEPT = ROOT / "build" / "browser"
QUIET = {"fetchNews": "false", "checkForUpdates": False, "doNotDisturbMode": True}
SETTINGS = {  # no news, no look-ups; every cell is in the page, not only those on the screen
    "apputils-extension/notification": QUIET,
    "notebook-extension/tracker": {"windowingMode": "none"},
}
OPTIONS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
           "--disable-component-update", "--disable-background-networking"]  # fmt: skip
BAD_OUTPUT = "[data-mime-type$='vnd.jupyter.error'], [data-mime-type$='vnd.jupyter.stderr']"
# Watches one LiveFigure: when a key goes down, and the picture at every frame until it has changed.
WATCH = """
figure => {
    const old = figure.querySelector('img').src;
    const watch = window.watch = {frames: [], pressed: null, took: null};
    const press = () => { watch.pressed ??= performance.now() };
    document.addEventListener('keydown', press, {capture: true, once: true});
    const look = now => {
        const img = figure.querySelector('img');
        const ready = img !== null && img.complete && img.naturalWidth > 0;
        watch.frames.push([ready, figure.getBoundingClientRect().height]);
        const changed = ready && img.src !== old && watch.pressed !== null;
        if (changed) watch.took ??= performance.now() - watch.pressed;
        if (watch.took === null) requestAnimationFrame(look);
    };
    requestAnimationFrame(look);
}
"""


if os.environ.get("RRNN_BROWSER") != "required":
    reason = "make browser runs these: they need Playwright and Chromium"
    pytest.skip(reason, allow_module_level=True)


class Lab:
    """JupyterLab on the loopback interface, on a copy of the notebooks, with its own settings."""

    def __init__(self, folder):
        for name in ("notebooks", "rrnn", "rrnn_helpers.py"):
            copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
            copy(ROOT / name, folder / name)
        for name, values in SETTINGS.items():
            path = folder / "settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
            path.parent.mkdir(parents=True)
            path.write_text(json.dumps(values))
        places = {f"JUPYTER_{name}_DIR": name.lower() for name in ("CONFIG", "DATA", "RUNTIME")}
        places |= {f"JUPYTERLAB_{name}_DIR": name.lower() for name in ("SETTINGS", "WORKSPACES")}
        places |= {"IPYTHONDIR": "ipython"}
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.token, self.log = secrets.token_hex(16), (folder / "lab.log").open("w+")
        options = f"""--no-browser --allow-root --ServerApp.ip=127.0.0.1
            --ServerApp.port={self.port} --ServerApp.port_retries=0
            --IdentityProvider.token={self.token} --LabApp.extension_manager=readonly""".split()
        command = [sys.executable, "-m", "jupyterlab", *options, f"--ServerApp.root_dir={folder}"]
        environment = os.environ | {name: str(folder / place) for name, place in places.items()}
        streams = {"stdout": self.log, "stderr": subprocess.STDOUT}
        self.process = subprocess.Popen(command, env=environment, **streams)

    def url(self, path):
        return f"http://127.0.0.1:{self.port}/{path}?token={self.token}"

    def get(self, path):
        with urllib.request.urlopen(self.url(path), timeout=5) as answer:
            return json.load(answer)

    def wait(self, ready, seconds=90):
        """Until ready() is true; a server that ended, or does not get there, shows its log."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and self.process.poll() is None:
            with contextlib.suppress(urllib.error.URLError, ConnectionError, TimeoutError):
                if ready():
                    return
            time.sleep(0.1)
        self.log.seek(0)
        raise RuntimeError(f"JupyterLab is not ready. Its log ends so:\n{self.log.read()[-3000:]}")


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    assert os.path.exists(CHROMIUM), f"there is no Chromium at {CHROMIUM}; apt-get install chromium"
    server = Lab(tmp_path_factory.mktemp("lab"))
    try:
        server.wait(lambda: server.get("api/status"))
        yield server
    finally:
        server.process.terminate()
        server.process.wait(20)


@pytest.fixture(scope="module")
def browser(lab):
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=OPTIONS)
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser):
    page = browser.new_page(viewport={"width": 1280, "height": 1000})
    page.problems = []
    page.on("pageerror", lambda error: page.problems.append(f"page error: {error}"))
    yield page
    page.close()


def open_notebook(lab, page, path):
    """Open a notebook in JupyterLab; wait until its kernel listens: an earlier command is lost."""
    page.goto(lab.url(f"doc/tree/notebooks/{path.name}"))
    page.locator(".jp-NotebookPanel:not(.lm-mod-hidden)").wait_for(timeout=60_000)

    def listens():
        sessions = lab.get("api/sessions")
        kernels = [each["kernel"] for each in sessions if each["path"].endswith(path.name)]
        return any(each["connections"] and each["execution_state"] == "idle" for each in kernels)

    lab.wait(listens)
    page.locator("#jp-main-statusbar").get_by_text(re.compile(r"\| Idle")).wait_for(timeout=30_000)


def run_all(page):
    page.get_by_role("menuitem", name="Run", exact=True).first.click()
    page.get_by_role("menuitem", name=re.compile("^Run All Cells")).click()
    prompts = "[...document.querySelectorAll('.jp-CodeCell .jp-InputArea-prompt')]"
    some = f"() => window.ran ||= {prompts}.some(p => p.textContent.includes('*'))"
    every = f"() => window.ran && {prompts}.every(p => /\\[\\d+\\]/.test(p.textContent))"
    page.wait_for_function(some, timeout=60_000)
    page.wait_for_function(every, timeout=300_000)


def press(control, page):
    """One key press that changes the value of the control."""
    if control.get_attribute("type") == "checkbox":
        key = "Space"
    elif control.evaluate("element => element.tagName") == "SELECT":
        last = control.evaluate("menu => menu.selectedIndex === menu.options.length - 1")
        key = "ArrowUp" if last else "ArrowDown"
    else:
        value, high = (float(control.get_attribute(f"aria-value{end}")) for end in ("now", "max"))
        key = "ArrowLeft" if value >= high else "ArrowRight"
    control.focus()
    page.keyboard.press(key)


def move(figure, control, name, page):
    """Press one key on a control; returns the milliseconds until the picture has changed."""
    before = figure.locator("img").get_attribute("alt")
    figure.evaluate(WATCH)
    press(control, page)
    try:
        page.wait_for_function("() => window.watch.took !== null", timeout=20_000)
    except Exception:
        raise AssertionError(f"{name}: the picture did not change within 20 seconds") from None
    frames = page.evaluate("() => window.watch.frames")
    after = figure.locator("img").get_attribute("alt")
    assert after != before, f"{name}: the picture changed, its words did not"
    heights = [height for _, height in frames]
    assert all(ready for ready, _ in frames), f"{name}: a frame without a picture"
    low, high = min(heights), max(heights)
    assert low > 0.5 * high, f"{name}: the page jumps, heights from {low} to {high}"
    return page.evaluate("() => window.watch.took")


TIMES = {}
CONTROLS = ".noUi-handle, select, input[type=checkbox]"


@pytest.mark.parametrize("path", notebook_paths(NOTEBOOKS), ids=lambda path: path.stem)
def test_notebook_in_a_browser(path, lab, page):
    try:
        open_notebook(lab, page, path)
        run_all(page)
        bad = page.locator(BAD_OUTPUT)
        assert bad.count() == 0, f"error or stderr output: {bad.first.inner_text()[:500]}"
        figures = page.locator(".jp-OutputArea-output .widget-vbox:has(.widget-html img)")
        assert figures.count() > 0, "no interactive figure"
        for i in range(figures.count()):
            figure = figures.nth(i)
            figure.scroll_into_view_if_needed()
            controls = figure.locator(CONTROLS)
            labels = figure.locator(f".widget-inline-hbox:has({CONTROLS})")
            assert controls.count() > 0 and labels.count() == controls.count()
            for j in range(controls.count()):
                label = labels.nth(j).locator(".widget-label, .widget-label-basic").first
                name = label.inner_text().strip()
                assert name, f"control {j} of figure {i} has no visible name"
                for _ in range(3):
                    took = move(figure, controls.nth(j), f"figure {i + 1}, {name}", page)
                    TIMES.setdefault(f"{path.stem}, {i + 1}", []).append((took, name))
        assert bad.count() == 0, f"error or stderr output: {bad.first.inner_text()[:500]}"
        assert not page.problems, page.problems
    except BaseException:
        KEPT.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=KEPT / f"{path.stem}.png")
        raise
    finally:
        for kernel in lab.get("api/kernels"):
            address = lab.url(f"api/kernels/{kernel['id']}")
            request = urllib.request.Request(address, method="DELETE")
            with contextlib.suppress(urllib.error.URLError):
                urllib.request.urlopen(request, timeout=10).close()


def test_redraw_times(capsys):
    """The last test: the table of all redraws."""
    if not TIMES:
        pytest.skip("no notebook was run before this test")
    lines = [f"figure: median, worst ms from key press to changed picture (goal: median {GOAL})"]
    medians = {name: statistics.median(took for took, _ in times) for name, times in TIMES.items()}
    for figure, times in TIMES.items():
        worst, name = max(times)
        lines.append(f"{figure:35}{medians[figure]:6.0f}{worst:6.0f} ({name})")
    every = [took for times in TIMES.values() for took, _ in times]
    lines.append(f"{'all':35}{statistics.median(every):6.0f}{max(every):6.0f}")
    with capsys.disabled():
        print("", *lines, sep="\n")
    assert max(medians.values()) <= LIMIT
