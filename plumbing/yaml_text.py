"""Writing YAML that reads as what was written."""

from __future__ import annotations

from typing import Any

import yaml


def to_yaml(data: Any) -> str:
    """`data` in the order of its keys, with its letters as they are.

    Some, as U+0085, PyYAML would read as the end of a line, and so as something else: there they are escaped.
    """
    text = yaml.safe_dump(data, sort_keys=False, allow_unicode=True)
    return text if yaml.safe_load(text) == data else yaml.safe_dump(data, sort_keys=False)
