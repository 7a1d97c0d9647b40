import hashlib
import os
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).with_name("sample_runs.py")


def test_two_builds_are_equal_byte_for_byte(sample, comparison_page):
    assert sample.comparison_page() == comparison_page


def test_the_order_of_rows_in_a_run_does_not_matter(sample, comparison_page):
    assert sample.comparison_page(shuffled=7) == comparison_page


def test_another_process_with_a_hostile_surrounding_builds_the_same_page(comparison_page, tmp_path):
    (tmp_path / "matplotlibrc").write_text(
        "font.size: 31\nsvg.fonttype: path\naxes.facecolor: ff0000\nlines.linewidth: 9\n"
        "axes.spines.top: True\ntext.usetex: False\naxes.grid: True\nsavefig.bbox: tight\n"
    )
    surrounding = {
        "PYTHONHASHSEED": "4711",
        "TZ": "Asia/Kathmandu",
        "LC_ALL": "C",
        "HOME": str(tmp_path),
        "PATH": os.environ["PATH"],
        "OMP_NUM_THREADS": "1",
        "MPLCONFIGDIR": str(tmp_path),
    }

    result = subprocess.run(
        [sys.executable, str(SCRIPT)],
        cwd=tmp_path,
        env=surrounding,
        capture_output=True,
        text=True,
        check=True,
    )

    assert result.stdout == hashlib.sha256(comparison_page.encode()).hexdigest()


def test_building_a_page_loads_neither_torch_nor_transformers_nor_pyplot(tmp_path):
    code = (
        f"import runpy, sys; runpy.run_path({str(SCRIPT)!r})['comparison_page'](); "
        "print([m for m in ('torch', 'transformers', 'matplotlib.pyplot') if m in sys.modules])"
    )

    result = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )

    assert result.stdout.strip() == "[]"


def test_a_page_holds_no_machine_path(comparison_page):
    assert str(Path(__file__).parents[2]) not in comparison_page
    assert str(Path.home()) + "/" not in comparison_page
