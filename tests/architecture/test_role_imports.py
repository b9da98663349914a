"""A role's process holds its own libraries and nobody else's: that is what an idle machine pays for."""

import json
import subprocess
import sys

import pytest

OTHERS = {
    "receiver": {"faust", "rocksdict", "pyarrow", "duckdb", "requests"},
    "worker": {"pyarrow", "numpy", "duckdb", "requests"},
    "loader": {"faust", "rocksdict", "requests"},
}


@pytest.mark.parametrize("role", sorted(OTHERS))
def test_a_role_imports_no_library_of_another(role: str) -> None:
    program = f"import sys, json, callweave.cli.app, callweave.roles.{role}; print(json.dumps(list(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], check=True, stdout=subprocess.PIPE)
    assert OTHERS[role].isdisjoint(json.loads(done.stdout))


def test_the_command_line_alone_imports_what_every_command_needs() -> None:
    program = "import sys, json, callweave.cli.app; print(json.dumps(list(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], check=True, stdout=subprocess.PIPE)
    later = {"aiohttp", "aiokafka", "duckdb", "faust", "pyarrow", "callweave.simulator.run", "callweave.standing"}
    assert later.intersection(json.loads(done.stdout)) == set()
