"""Submissions that end, hang, fill the machine, or write to the teacher."""

import pytest

from tests.assignment.answers import GRAM
from tests.hostile import attacks
from tests.hostile.hostile_class import WALLS, check_attacks

pytestmark = pytest.mark.hostile


def test_no_attack_on_the_machine_passes_or_harms_the_class(tmp_path):
    rows = check_attacks(tmp_path, attacks.ON_THE_MACHINE)
    if WALLS:
        assert "filled nothing" in rows["fills_memory_files.ipynb"][GRAM]["diagnosis"]
