"""The page in a real browser without a network: what sorts, filters and is drawn, read from its document."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest
from rows_kit import by_hand
from test_page import Page, record_of

from osrl_proco.comparison.report import write_report

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
CLICKS = """
<script>
window.addEventListener("load", function () {
  const heads = document.querySelectorAll("#all thead th");
  heads[3].click();
  const rows = function () { return Array.from(document.querySelectorAll("#all tbody tr")); };
  const order = function () { return rows().map(r => r.cells[3].textContent); };
  const up = order();
  heads[3].click();
  const down = order();
  const filter = document.querySelector('input[data-table="all"]');
  filter.value = "PROCO a";
  filter.dispatchEvent(new Event("input"));
  const shown = rows().filter(r => !r.hidden).map(r => r.cells[1].textContent);
  const select = document.querySelector('select[data-group="planes"]');
  select.value = "B";
  select.dispatchEvent(new Event("change"));
  const drawn = document.getElementById("plane-plot").data.map(t => t.x[0]);
  document.body.dataset.seen = JSON.stringify({up: up, down: down, shown: shown, drawn: drawn});
});
window.addEventListener("error", function (event) { document.body.dataset.broken = event.message; });
</script></body>
"""


@pytest.mark.slow
def test_it_sorts_filters_and_draws(tmp_path):
    pytest.importorskip("plotly", reason="the extra `report` is not installed")
    if CHROMIUM is None:
        pytest.skip("no Chromium here")
    write_report(record_of(by_hand()), tmp_path, "A title")
    page = tmp_path / "clicked.html"
    page.write_text((tmp_path / "report.html").read_text().replace("</body>", CLICKS))
    flags = [
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--virtual-time-budget=10000",
        "--window-size=1300,4000",
    ]
    offline = ["--host-resolver-rules=MAP * ~NOTFOUND", f"--user-data-dir={tmp_path / 'profile'}"]
    done = subprocess.run(
        [CHROMIUM, *flags, *offline, "--dump-dom", page.as_uri()],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert "data-broken" not in done.stdout
    body = next(given for tag, given in Page(done.stdout).tags if tag == "body")
    assert body["data-seen"] == (
        '{"up":["0.00 ± 0.00","0.60 ± 1.27","2.00 ± 0.00","3.00 ± 12.71"],'
        '"down":["3.00 ± 12.71","2.00 ± 0.00","0.60 ± 1.27","0.00 ± 0.00"],'
        '"shown":["x-proco"],"drawn":[0,2]}'
    )
    assert len(re.findall(r'<svg class="main-svg"', done.stdout)) >= 6  # every plot near the screen is drawn
