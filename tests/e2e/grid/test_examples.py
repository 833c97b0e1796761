"""The examples run as they stand, and a launcher's cluster is joined as they say."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.commands import PROGRAM

EXAMPLES = Path(__file__).parents[3] / "examples"


def run(script: Path, home: Path, *arguments: str) -> str:
    """Run a script as a user does, in an empty home; return what it printed."""
    environ = {"HOME": str(home), "PATH": os.environ["PATH"], "PYTHONPATH": str(EXAMPLES.parent)}
    done = subprocess.run(
        [sys.executable, str(script), *arguments],
        env=environ,
        cwd=home,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_map_reduce_example_counts_every_star_though_a_worker_is_killed(tmp_path: Path) -> None:
    lines = run(EXAMPLES / "grid_mapreduce.py", tmp_path).splitlines()
    assert lines[0] == "1,000,000 rows in 64 shards on 3 workers"
    found, expected = lines[-2:]
    assert "'rows': 1000000" in found
    assert (
        found.split("'flux'")[0].split(None, 1)[1] == expected.split("'flux'")[0].split(None, 1)[1]
    )


def test_the_services_example_runs(tmp_path: Path) -> None:
    lines = run(EXAMPLES / "grid_services.py", tmp_path).splitlines()
    assert lines[0] == f"leading coefficients {list(range(20))}"
    counts = sorted(int(each) for each in lines[1].rpartition("[")[2].rstrip("]").split(","))
    assert counts == [0, 20]


def test_a_launchers_cluster_is_joined_with_the_certificates_of_workers_init(
    tmp_path: Path,
) -> None:
    """By dask-jobqueue, whose jobs are processes of this machine here instead of Slurm's."""
    pytest.importorskip("dask_jobqueue")
    environ = {"HOME": str(tmp_path), "PATH": os.environ["PATH"]}
    subprocess.run([PROGRAM, "workers", "init"], env=environ, check=True, capture_output=True)
    script = tmp_path / "here.py"
    script.write_text(
        "import sys\n"
        f"sys.path.insert(0, {str(EXAMPLES)!r})\n"
        "import grid_slurm\n"
        "from dask_jobqueue.local import LocalCluster\n"
        "grid_slurm.main(LocalCluster, memory='1GB', interface='lo')\n"
    )
    assert run(script, tmp_path).startswith("2 workers on ")
