"""How diffs are applied, and how imports are mended."""

import difflib
import importlib.metadata
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from releases import needs, run

import osrl_proco
from osrl_proco.core.resources import PATCHES
from osrl_proco.upstream import compat
from osrl_proco.upstream.unified_diff import DoesNotFit, apply_hunks, parse_diff

DIFFS = sorted(d for d in PATCHES.glob("*/*.diff") if d.parent.name != "for-upstream")


# ---- unified diffs ---------------------------------------------------------------------------------------------------

lines = st.lists(st.sampled_from(["a", "b", "    return x", "", "--- c", "+++ d"]), max_size=30)


@given(lines, lines)
def test_a_diff_turns_the_old_text_into_the_new(old, new):
    old, new = ["first", *old, "last"], ["first", *new, "last"]
    diff = "\n".join(difflib.unified_diff(old, new, "a/x.py", "b/x.py", lineterm=""))
    hunks = parse_diff(diff).get("x.py", [])
    assert apply_hunks("\n".join(old) + "\n", hunks) == "\n".join(new) + "\n"


def test_a_hunk_fits_below_its_place_but_not_a_changed_line():
    hunks = parse_diff("why\n\n--- a/x.py\n+++ b/x.py\n@@ -1,2 +1,2 @@\n one\n-two\n+2\n")["x.py"]
    assert apply_hunks("new\nlines\none\ntwo\nthree", hunks) == "new\nlines\none\n2\nthree"
    with pytest.raises(DoesNotFit):
        apply_hunks("one\ntwo \n", hunks)


def test_a_truncated_diff_is_refused():
    with pytest.raises(ValueError, match="cut short"):
        parse_diff("--- a/x\n+++ b/x\n@@ -1,3 +1,3 @@\n one\n-two\n")


@pytest.mark.parametrize("diff", DIFFS, ids=lambda d: f"{d.parent.name}/{d.stem}")
def test_every_diff_says_its_fault_and_patch_agrees_with_us(diff, tmp_path):
    header = diff.read_text().partition("\n--- ")[0]
    assert all(field in header for field in ("Fault", "Upstream: ", "Fits: "))
    if shutil.which("patch") is None:
        pytest.skip("no patch program")
    distribution = diff.parent.name.rpartition("-")[0]
    needs(distribution)
    site = Path(importlib.metadata.distribution(distribution).locate_file(""))
    files = parse_diff(diff.read_text())
    for name in files:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(site / name, tmp_path / name)
    subprocess.run(["patch", "-p1", "-s", "--fuzz=0", "-i", str(diff)], cwd=tmp_path, check=True)
    for name, hunks in files.items():
        assert (tmp_path / name).read_text() == apply_hunks((site / name).read_text(), hunks)


# ---- the import hook, on a stand-in for DSRL -------------------------------------------------------------------------

SOURCE = "def greet():\n    return 'stock'\n\n\ndef fail():\n    return 1 / 0\n"
DIFF = """\
--- a/dsrl/words.py
+++ b/dsrl/words.py
@@ -1,2 +1,4 @@
+# an added line
+
 def greet():
-    return 'stock'
+    return 'patched'
"""


@pytest.fixture
def upstream(tmp_path):
    """A folder with a package `dsrl` 0.1.0, its compiled cache, and a patch for it; returns a runner of code."""
    site = tmp_path / "site"
    (site / "dsrl").mkdir(parents=True)
    (site / "dsrl" / "__init__.py").write_text("")
    (site / "dsrl" / "words.py").write_text(SOURCE)
    (site / "dsrl-0.1.0.dist-info").mkdir()
    (site / "dsrl-0.1.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: dsrl\nVersion: 0.1.0\n")
    patches = tmp_path / "patches" / "dsrl-0.1.0"
    patches.mkdir(parents=True)
    (patches / "0001-words.diff").write_text(DIFF)
    subprocess.run([sys.executable, "-m", "compileall", "-q", str(site)], check=True)

    def runner(code, **environment):
        """Run `code` with the stand-in on the path; `HOOK` in it imports osrl_proco with the stand-in's patches."""
        hook = "import pathlib, osrl_proco.upstream.compat as compat; "
        hook += f"compat.PATCHES = pathlib.Path({str(patches.parent)!r})"
        path = f"import sys; sys.path.insert(0, {str(site)!r})\n"
        return run(path + textwrap.dedent(code).replace("HOOK", hook), **environment)

    runner.site = site
    return runner


def snapshot(folder: Path) -> dict[str, tuple[int, bytes]]:
    return {str(f): (f.stat().st_mtime_ns, f.read_bytes()) for f in folder.rglob("*") if f.is_file()}


def test_imports_run_patched_and_write_nothing(upstream):
    before = snapshot(upstream.site)
    done = upstream("HOOK\nimport dsrl.words; print(dsrl.words.greet())")
    assert done.stdout == "patched\n", done.stderr
    assert snapshot(upstream.site) == before


def test_a_traceback_shows_the_lines_that_ran(upstream):
    done = upstream("""
        HOOK
        import traceback, dsrl.words
        try:
            dsrl.words.fail()
        except ZeroDivisionError:
            traceback.print_exc()
    """)
    assert 'words.py (patched by osrl-proco)", line 8, in fail\n    return 1 / 0' in done.stderr


def test_patches_can_be_switched_off(upstream):
    done = upstream("HOOK\nimport dsrl.words; print(dsrl.words.greet())", OSRL_PROCO_PATCHES="0")
    assert done.stdout == "stock\n", done.stderr


def test_a_package_imported_first_stays_stock_and_says_so(upstream):
    # the names of patched modules come from the patches, so the stand-in uses one that the shipped patches touch
    (upstream.site / "dsrl" / "infos.py").write_text("")
    done = upstream("import dsrl.infos\nHOOK\nimport dsrl.words; print(dsrl.words.greet())")
    assert done.stdout == "stock\n", done.stderr
    assert "dsrl was imported before osrl_proco and runs without its patches" in done.stderr


def last_line(done: subprocess.CompletedProcess[str]) -> str:
    return done.stderr.strip().splitlines()[-1]


def test_a_source_that_a_diff_does_not_fit_is_one_clear_error(upstream):
    (upstream.site / "dsrl" / "words.py").write_text(SOURCE.replace("'stock'", "'edited'"))
    message = last_line(upstream("HOOK\nimport dsrl.words"))
    for part in ("PatchError", "words.py", "dsrl-0.1.0/0001-words.diff", "dsrl==0.1.0", "OSRL_PROCO_PATCHES=0"):
        assert part in message


def test_another_release_is_one_clear_error(upstream):
    (upstream.site / "dsrl-0.1.0.dist-info").rename(upstream.site / "dsrl-0.2.0.dist-info")
    metadata = upstream.site / "dsrl-0.2.0.dist-info" / "METADATA"
    metadata.write_text(metadata.read_text().replace("0.1.0", "0.2.0"))
    message = last_line(upstream("HOOK\nimport dsrl.words"))
    for part in ("PatchError", "dsrl 0.2.0", "0.1.0 only", "pip install", "OSRL_PROCO_PATCHES=0"):
        assert part in message


def test_a_patch_error_is_an_import_error_and_a_user_error():
    assert issubclass(compat.PatchError, ImportError)
    assert issubclass(compat.PatchError, osrl_proco.core.errors.UserError)
