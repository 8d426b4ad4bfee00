"""Tabs and pages without a server."""

import asyncio

import gradio as gr
import pytest

from finetuning.jobs.carrying_out import run_job
from finetuning.runs import launch
from finetuning.worker import _record


@pytest.fixture
def jobs_here(monkeypatch):
    """Jobs are carried out in this process, at once, and their errors written down as a worker does it.

    Gives a list of what is called whenever a job says how far it is.
    """
    looks = []

    def look(job):
        for each in looks:
            each(job)
        return job.cancel_requested()

    def start(job):
        try:
            run_job(job, lambda: look(job))
        except Exception as error:
            _record(job, error)
        return False

    monkeypatch.setattr(launch, "_start", start)
    return looks


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
