"""The example notebook runs from its first cell to its last, and shows what it says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

NOTEBOOK = Path(__file__).parents[3] / "examples" / "sql.ipynb"


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_example_notebook_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    client = pytest.importorskip("nbclient", reason="nbclient runs the notebook")
    nbformat = pytest.importorskip("nbformat")
    pytest.importorskip("ipykernel", reason="ipykernel runs the notebook")
    pytest.importorskip("matplotlib", reason="the notebook draws")
    monkeypatch.setenv("FSCACHE_ROOT", str(tmp_path / "root"))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("JUPYTER_PLATFORM_DIRS", "1")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    # A smaller sky: what is shown is the same.
    for cell in notebook.cells:
        cell.source = cell.source.replace("ROWS = 1_000_000", "ROWS = 50_000")
    runner = client.NotebookClient(
        notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}
    )
    runner.execute()
    shown = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    assert sum("image/png" in output.get("data", {}) for output in shown) == 3
    text = "\n".join(map(_text, shown))
    assert "50000 rows in 8 shards" in text
    assert "pairs; 5" in text
    assert "(2 rows)" in text or "2 rows" in text
    assert not any(output.output_type == "error" for output in shown)


def _text(output: Any) -> str:
    return str(output.get("text", "")) + "".join(map(str, output.get("data", {}).values()))
