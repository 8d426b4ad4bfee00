"""Draw the picture that stands for the page where its address is shared, and the icon of its tab.

python tests/browser/pictures.py        writes ui/pictures/card.png and icon.png
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT))  # run as a script, the rooms are not on the path

from playwright.sync_api import sync_playwright  # noqa: E402

from eval.report.folder import load  # noqa: E402
from models.tuned import bundled_folder  # noqa: E402
from plumbing.markup import Markup, join, style, tag  # noqa: E402
from tests.browser.app_process import launch_chromium  # noqa: E402
from ui.drawing import text  # noqa: E402
from ui.server.preview import CARD, CARD_SIZE, ICON  # noqa: E402

SHIPPED = "sentiment-smollm2-lora"
ICON_PX = 256
_CSS = """
  * { box-sizing: border-box; margin: 0; }
  body { font-family: ui-sans-serif, system-ui, "Segoe UI", Roboto, sans-serif; background: #fff; color: #1b1f27; }
  .card { width: 1200px; height: 630px; padding: 64px 72px; display: grid; grid-template-rows: auto 1fr auto; }
  h1 { font-size: 84px; letter-spacing: -0.03em; font-weight: 750; } h1 span { color: #0b7a6b; }
  p { font-size: 34px; color: #667085; margin-top: 10px; }
  .sides { display: grid; grid-template-columns: 1fr 1fr; gap: 32px; align-self: center; }
  .sides div { border: 2px solid #e3e6eb; border-top: 8px solid #64748b; border-radius: 18px; padding: 24px 30px; }
  .sides div + div { border-top-color: #0b7a6b; }
  small { font-size: 28px; color: #64748b; font-weight: 600; } .sides div + div small { color: #0b7a6b; }
  b { display: block; font-size: 92px; letter-spacing: -0.03em; line-height: 1.1; }
  .icon { width: 256px; height: 256px; border-radius: 56px; background: #1b1f27; display: flex; gap: 28px;
    align-items: flex-end; justify-content: center; padding: 56px; }
  .icon i { width: 52px; border-radius: 12px; background: #94a3b8; height: 52%; }
  .icon i + i { background: #34c9b1; height: 100%; }
"""


def main() -> None:
    """Draw both."""
    report, _ = load(bundled_folder() / SHIPPED / "eval")
    primary = report.primary
    sides = [
        tag("div", tag("small", name), tag("b", f"{value:.0%}"))
        for name, value in (("Before · base", primary.base), ("After · tuned", primary.tuned))
    ]
    said = f"of {report.n:,} {report.asked.noun[1]} right. A 135M model, tuned in minutes on two CPU cores."
    card = tag(
        "div", tag("div", tag("h1", "Before/", tag("span", "After")), tag("p", text.TAGLINE)),
        tag("div", *sides, class_="sides"), tag("p", said), class_="card",
    )  # fmt: skip
    with sync_playwright() as playwright:
        browser = launch_chromium(playwright)
        for drawn, size, path in ((card, CARD_SIZE, CARD), (_icon(), (ICON_PX, ICON_PX), ICON)):
            page = browser.new_page(viewport={"width": size[0], "height": size[1]})
            page.set_content(join([style(_CSS), drawn]))
            page.screenshot(path=path, omit_background=True)
            print(path)
        browser.close()


def _icon() -> Markup:
    return join([style("body { background: transparent; }"), tag("div", tag("i"), tag("i"), class_="icon")])


if __name__ == "__main__":
    main()
