"""JupyterLab as `nst lab` starts it."""

import pytest
from jupyter_server.services.config.manager import ConfigManager
from jupyterlab.handlers.announcements import NeverCheckForUpdate
from jupyterlab.labapp import LabApp

from nst.assignment import exercises
from nst.core.config import LAB
from nst.lab import jupyterlab


@pytest.fixture(autouse=True)
def _environment(monkeypatch):
    monkeypatch.setenv("JUPYTER_CONFIG_PATH", "")


def test_jupyterlab_asks_the_network_for_nothing_by_itself(monkeypatch):
    """Neither the server nor, with the settings that it gets, the page."""
    started = []
    monkeypatch.setattr(LabApp, "launch_instance", started.append)
    jupyterlab.main(["--no-browser"])
    (options,) = started
    lab = LabApp()
    lab.parse_command_line(options)
    assert lab.check_for_updates_class is NeverCheckForUpdate
    assert lab.news_url is None
    assert lab.extension_manager == "readonly"
    page = ConfigManager(config_dir_name="labconfig").get("default_setting_overrides")
    assert page["@jupyterlab/apputils-extension:notification"] == {
        "checkForUpdates": False,
        "fetchNews": "false",
    }


def test_an_edition_that_is_missing_is_made_anew_and_a_renamed_one_left_alone(
    monkeypatch, tmp_path
):
    monkeypatch.setattr(LabApp, "launch_instance", lambda options: None)
    edition = tmp_path / exercises.EXERCISES.name
    (tmp_path / "Ann.ipynb").write_text("Ann's")
    for module in (exercises, jupyterlab):
        monkeypatch.setattr(module, "PROJECT", tmp_path)
    monkeypatch.setattr(exercises, "EXERCISES", edition)
    jupyterlab.main([])
    assert edition.read_bytes() == LAB.with_name(edition.name).read_bytes()
    edition.write_text("half done")
    jupyterlab.main([])
    assert edition.read_text() == "half done"
    assert (tmp_path / "Ann.ipynb").read_text() == "Ann's"
