"""A submission's process finds all that it imports, and no right answer."""

import re

import grimp

from nst.grading.sandbox import fill_stage
from tests.conftest import ROOT

ANSWERS = {f"nst.assignment.{name}" for name in ("mistakes", "reference", "verdict")}


def test_worker_finds_what_it_imports_and_no_right_answer(tmp_path):
    helpers = re.findall(r"^from (nst[\w.]+) import", (ROOT / "nst_utils.py").read_text(), re.M)
    graph, roots = grimp.build_graph("nst"), {"nst.grading.worker", *helpers}
    needed = roots.union(*map(graph.find_upstream_modules, roots))
    fill_stage(tmp_path)
    files = (str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.py"))
    found = {name.removesuffix(".py").removesuffix("/__init__").replace("/", ".") for name in files}
    assert len(needed) > 20
    assert needed - found == set(), "add them to sandbox.READABLE"
    assert not found & ANSWERS
