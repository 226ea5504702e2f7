"""JupyterLab as `nst lab` starts it."""

from jupyter_server.services.config.manager import ConfigManager
from jupyterlab.handlers.announcements import NeverCheckForUpdate
from jupyterlab.labapp import LabApp

from nst.lab import jupyterlab


def test_jupyterlab_asks_the_network_for_nothing_by_itself(monkeypatch):
    """Neither its server nor, by the settings that it gives to the page, its page."""
    started = []
    monkeypatch.setattr(LabApp, "launch_instance", started.append)
    monkeypatch.setenv("JUPYTER_CONFIG_PATH", "")
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
