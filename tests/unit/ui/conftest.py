"""Tabs and pages without a server."""

import asyncio

import gradio as gr
import pytest


@pytest.fixture
def laid_out():
    """`laid_out(build)`: the tab that `build` gives, on a page of its own; with `whole=True`, the page."""

    def lay_out(build, *, whole=False):
        async def inside_a_loop():  # else Gradio makes loops of its own, and closes none
            if whole:
                return build()
            with gr.Blocks():
                return build()

        return asyncio.run(inside_a_loop())

    return lay_out
