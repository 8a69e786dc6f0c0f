"""Tests of what the check does without a GPU: `python3 -m unittest discover scripts/gpu`."""

import io
import json
import sys
import tempfile
import time
import unittest
from pathlib import Path
from unittest import mock

import check
import process
import results
from settings import Stage
from stages import profile, sanitize

NCU = """==PROF== Connected to process 7
"ID","Process ID","Kernel Name","Grid Size","dram__bytes_read.sum","dram__bytes_write.sum","gpu__time_duration.sum"
"","","","","byte","byte","ns"
"0","7","norm(float const*, int)","(8, 1, 1)","1,000","500","2,000"
"1","7","attention_backward<64>(A)","(8, 1, 1)","3000","1000","1000"
"2","7","norm(float const*, int)","(8, 1, 1)","1000","500","1000"
==PROF== Disconnected
"""


class Files(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.out = Path(folder.name)
        self.path = self.out / "results.jsonl"


class Programs(Files):
    def test_a_program_that_takes_too_long_is_ended_with_its_children_and_what_it_said_is_kept(self):
        child = self.out / "child"
        inner = f"import os, time; os.setpgid(0, 0); open({str(child)!r}, 'w').write(str(os.getpid())); time.sleep(60)"
        outer = f"import subprocess, sys; print('begun', flush=True); subprocess.run([sys.executable, '-c', {inner!r}])"
        outcome = process.run([sys.executable, "-c", outer], 2, session=True)
        self.assertIsNone(outcome.status)
        self.assertLess(outcome.seconds, 10)
        self.assertIn("begun", outcome.reason)
        time.sleep(0.2)
        stat = Path(f"/proc/{child.read_text()}/stat")
        self.assertTrue(not stat.exists() or " Z " in stat.read_text())

    def test_a_failure_is_told_with_the_end_of_its_output(self):
        outcome = process.run([sys.executable, "-c", "raise SystemExit('out of memory')"], 10)
        self.assertEqual((outcome.status, outcome.reason), (1, "exit status 1: out of memory"))


class Stages(Files):
    def context(self):
        return mock.Mock(out=str(self.out))

    def test_a_stage_that_does_not_fit_the_budget_is_skipped_and_said_to_be(self):
        check.run_stage(Stage("late", "nowhere", 60, 20), self.context(), self.out, 12.0)
        (line,) = results.read(self.path)
        self.assertEqual(line["detail"]["status"], "skipped")
        self.assertIn("12 s were left, it needs 20", line["note"])

    def test_a_stage_that_breaks_is_recorded_with_its_reason(self):
        broken = self.out / "context.json"
        broken.write_text("{}")
        check.run_stage(Stage("broken", "nowhere", 60, 1), self.context(), broken, 30.0)
        (line,) = results.read(self.path)
        self.assertEqual(line["detail"]["status"], "failed")
        self.assertIn("TypeError", line["note"])
        self.assertEqual(results.failures([line]), [line])


class Table(Files):
    def test_a_figure_meets_its_goal_or_is_said_to_miss_it(self):
        found = results.Results(self.path, "ours-step")
        found.add("step", 1.1, "s", goal=("<=", 1.2))
        found.add("decode", 9000.0, "tokens/s", goal=(">=", 10_000))
        found.add("errors", None, goal=("<=", 0))
        found.add("nothing", float("nan"), goal=("<=", 1))
        lines = results.read(self.path)
        self.assertEqual([line["met"] for line in lines], [True, False, False, False])
        self.assertIn("| ours-step | decode | 9,000 tokens/s | >= 10,000 | MISSED |", results.table(lines))
        self.assertEqual(results.find(lines, "ours-step", "step"), 1.1)

    def test_a_line_is_in_the_file_as_soon_as_it_is_known(self):
        results.Results(self.path, "a").add("b", 1)
        self.assertEqual(json.loads(self.path.read_text())["value"], 1)


class Tools(Files):
    def test_launches_of_ncu_are_counted_by_kernel(self):
        launches = profile.parse(io.StringIO(NCU))
        self.assertEqual([row["ID"] for row in launches], ["0", "1", "2"])
        self.assertEqual(profile.backward(launches), 1)
        profile.record(results.Results(self.path, "profile"), "step", launches)
        total, norm, attention = results.read(self.path)
        self.assertAlmostEqual(total["value"], 0.004)
        self.assertEqual((norm["what"], norm["value"]), ("step: norm", 1.5))
        self.assertIn("2 launches, 75 %, 1 GB/s", norm["note"])
        self.assertEqual(attention["what"], "step: attention_backward<64>")

    def test_the_sanitizers_last_word_counts(self):
        self.assertEqual(sanitize.errors("========= ERROR SUMMARY: 0 errors\n"), 0)
        self.assertEqual(sanitize.errors("========= RACECHECK SUMMARY: 3 hazards displayed (2 errors, 1 warning)\n"), 2)
        self.assertIsNone(sanitize.errors("========= COMPUTE-SANITIZER\n"))

    def test_options_are_replaced_by_name(self):
        self.assertEqual(profile.replaced(["--a", "1", "--b", "2"], ["--b", 3]), ["--a", "1", "--b", "3"])


if __name__ == "__main__":
    unittest.main()
