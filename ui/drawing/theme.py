"""The page's looks: a Gradio theme of our own, `theme.css`, and those of plots: the page's, and a lab's.

System fonts only, so that nothing is fetched from elsewhere. The primary buttons are ink, not a colour: the one
accent means *tuned*.
"""

from __future__ import annotations

from pathlib import Path

import gradio as gr

from eval.lab import plots as of_labs
from ui.drawing import plots

CSS = (Path(__file__).parent / "theme.css").read_text(encoding="utf-8") + plots.CSS + of_labs.CSS

_FONT = ("ui-sans-serif", "system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif")
_MONO = ("ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "monospace")


def theme() -> gr.themes.Base:
    """The theme, in the same ink, paper and rules as `theme.css`."""
    base = gr.themes.Base(
        primary_hue=gr.themes.colors.slate,
        neutral_hue=gr.themes.colors.gray,
        spacing_size=gr.themes.sizes.spacing_md,
        radius_size=gr.themes.sizes.radius_md,
        text_size=gr.themes.sizes.text_md,
        font=_FONT,
        font_mono=_MONO,
    )
    return base.set(
        body_background_fill="var(--ba-paper)",
        body_background_fill_dark="var(--ba-ground)",
        body_text_color="var(--ba-ink)",
        body_text_color_dark="var(--ba-ink)",
        body_text_color_subdued="var(--ba-faint)",
        body_text_color_subdued_dark="var(--ba-faint)",
        background_fill_primary="var(--ba-paper)",
        background_fill_primary_dark="var(--ba-paper)",
        block_background_fill="transparent",
        block_background_fill_dark="transparent",
        block_border_width="0px",
        block_border_width_dark="0px",
        block_padding="0px",
        block_label_background_fill="transparent",
        block_label_background_fill_dark="transparent",
        block_title_text_color="var(--ba-faint)",
        block_title_text_color_dark="var(--ba-faint)",
        block_title_text_size="12.5px",
        block_title_text_weight="400",
        block_info_text_size="12.5px",
        border_color_primary="var(--ba-rule)",
        border_color_primary_dark="var(--ba-rule)",
        border_color_accent="var(--ba-ink)",
        border_color_accent_dark="var(--ba-ink)",
        color_accent="var(--ba-ink)",
        input_background_fill="var(--ba-paper)",
        input_background_fill_dark="var(--ba-ground)",
        input_border_color="var(--ba-rule)",
        input_border_color_dark="var(--ba-rule)",
        input_border_color_focus="var(--ba-base)",
        input_border_color_focus_dark="var(--ba-base)",
        input_border_width="1px",
        input_radius="8px",
        slider_color="var(--ba-ink)",
        slider_color_dark="var(--ba-ink)",
        button_primary_background_fill="var(--ba-ink)",
        button_primary_background_fill_dark="var(--ba-ink)",
        button_primary_background_fill_hover="#3a4150",
        button_primary_background_fill_hover_dark="#ffffff",
        button_primary_text_color="var(--ba-paper)",
        button_primary_text_color_dark="var(--ba-ground)",
        button_secondary_background_fill="var(--ba-paper)",
        button_secondary_background_fill_dark="var(--ba-paper)",
        button_secondary_background_fill_hover="var(--ba-ground)",
        button_secondary_background_fill_hover_dark="var(--ba-base-soft)",
        button_secondary_border_color="var(--ba-rule)",
        button_secondary_border_color_dark="var(--ba-rule)",
        button_border_width="1px",
        button_large_radius="8px",
        button_small_radius="8px",
        button_medium_radius="8px",
        button_large_padding="8px 18px",
        button_large_text_size="15px",
        checkbox_label_background_fill="var(--ba-paper)",
        checkbox_label_background_fill_dark="var(--ba-paper)",
        checkbox_label_background_fill_selected="var(--ba-base-soft)",
        checkbox_label_background_fill_selected_dark="var(--ba-base-soft)",
        checkbox_label_border_color="var(--ba-rule)",
        checkbox_label_border_color_dark="var(--ba-rule)",
        checkbox_label_padding="6px 14px",
        checkbox_background_color_selected="var(--ba-ink)",
        checkbox_background_color_selected_dark="var(--ba-base)",
        checkbox_border_color_selected="var(--ba-ink)",
        checkbox_border_color_selected_dark="var(--ba-base)",
        layout_gap="12px",
        form_gap_width="0px",
    )
