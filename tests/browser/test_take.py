"""Take it home: what ships from Compare, a run's from Runs; chosen, made by a worker, downloaded."""

from __future__ import annotations

import os
import shutil
import zipfile
from pathlib import Path

from playwright.sync_api import Page, expect

from finetuning.recipe import load_recipe
from finetuning.runs.folder import create_run, process_started
from models.tuned import bundled_folder
from tests.browser.steps import open_tab


def test_what_was_tuned_is_chosen_made_and_downloaded(page: Page, runs_folder: Path, tmp_path: Path) -> None:
    panel = page.locator("#compare-take")
    expect(panel.locator("fieldset")).to_have_count(0)
    panel.locator("summary").click()
    form = panel.get_by_role("radio")
    expect(form).to_have_count(5)  # a page of one's own pushes to the Hub, too
    expect(panel.locator("select")).to_be_hidden()
    panel.locator("input[value=gguf]").check()
    expect(panel.locator("select")).to_be_visible()
    expect(panel.get_by_role("checkbox", name="Ask it test rows")).to_be_visible()
    panel.locator("input[value=hub]").check()
    expect(panel.get_by_role("button", name="Make it")).to_be_hidden()
    expect(panel).to_contain_text("hf auth login")  # there is no token on this machine
    panel.locator("input[value=adapter]").check()
    panel.get_by_role("button", name="Make it").click()
    expect(panel.get_by_role("progressbar")).to_be_visible()
    link = panel.get_by_role("link", name="Download")
    expect(link).to_be_visible()
    expect(panel).to_contain_text("It stands on HuggingFaceTB/SmolLM2-135M-Instruct")
    with page.expect_download() as started:
        link.click()
    started.value.save_as(tmp_path / "taken.zip")
    with zipfile.ZipFile(tmp_path / "taken.zip") as archive:
        assert archive.testzip() is None
        assert any(name.endswith("adapter_model.safetensors") for name in archive.namelist())
    page.locator("#model input").click()
    page.get_by_role("option").nth(0).click()
    page.locator("#task").get_by_text("Dialogue summary").click()
    expect(panel.locator("fieldset")).to_have_count(0)  # another model's panel is closed

    me = {"state": "running", "pid": os.getpid(), "pid_started": process_started(os.getpid())}
    run, before = (create_run(load_recipe("sentiment-smollm2-lora"), runs_folder) for _ in range(2))
    shutil.copytree(bundled_folder() / "sentiment-smollm2-lora", run.tuned_as(whole=False))
    for each in (run, before):
        each.update(**me)
    run.update(state="finished")  # and the other goes on, so that what is asked for now waits
    open_tab(page, "Runs")
    page.locator(f'[data-run="{run.id}"]').click()
    panel = page.locator("#runs-take")
    panel.locator("summary").press("Enter")
    panel.get_by_role("button", name="Make it").click()
    expect(panel).to_contain_text("Queued: next, when what is going on ends")
    panel.get_by_role("button", name="Cancel").click()
    expect(panel.get_by_role("button", name="Make it again")).to_be_visible()
    before.update(state="cancelled")
    for each in (run, before):
        shutil.rmtree(each.folder)
