"""How the page looks where its address is shared: its name, a sentence and a picture; and the icon of its tab.

Gradio's own page names Gradio first, with addresses that were never filled in. Its template is read as it is, and
what it says of itself is put in ours; whatever else is in it stays.
"""

from __future__ import annotations

import re
from pathlib import Path

from ui.drawing import text

PICTURES = Path(__file__).resolve().parent.parent / "pictures"
ICON, CARD = PICTURES / "icon.png", PICTURES / "card.png"
CARD_PATH = "/card.png"
CARD_SIZE = (1200, 630)
_TEMPLATE = "frontend/index.html"
_META = re.compile(r"""<meta\s+(?:property|name)="(?:og|twitter):[^"]*"\s+content="[^"]*"\s*/?>\s*""")
_CHARSET = '<meta charset="utf-8" />'


def name_the_page() -> None:
    """Let Gradio's page say what it is, for every page of this process from now on."""
    from gradio import routes
    from jinja2 import ChoiceLoader, DictLoader

    environment = routes.templates.env
    assert environment.loader is not None, "Gradio's templates come from a folder"
    source, _, _ = environment.loader.get_source(environment, _TEMPLATE)
    environment.loader = ChoiceLoader([DictLoader({_TEMPLATE: named(source)}), environment.loader])


def named(template: str) -> str:
    """Gradio's template with our name, sentence and picture in place of its own."""
    without = _META.sub("", template)
    return without.replace(_CHARSET, f"{_CHARSET}\n{_ours()}", 1)


def _ours() -> str:
    """`config` is what Gradio gives its template; the picture's address has to be a whole one."""
    root = "{{ config.get('root', '') }}"
    width, height = CARD_SIZE
    said = {
        "og:type": "website",
        "og:title": text.TITLE,
        "og:description": text.SHARED_AS,
        "og:url": f"{root}/",
        "og:image": f"{root}{CARD_PATH}",
        "og:image:width": f"{width}",
        "og:image:height": f"{height}",
        "og:image:alt": text.CARD_ALT,
    }
    lines = [f"<title>{text.TITLE}</title>", f'<meta name="description" content="{text.SHARED_AS}" />']
    lines += [f'<meta property="{name}" content="{value}" />' for name, value in said.items()]
    lines.append('<meta name="twitter:card" content="summary_large_image" />')
    return "\n".join(lines)
