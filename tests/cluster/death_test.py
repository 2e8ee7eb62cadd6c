#!/usr/bin/env python3
"""Sudden death of every process in turn: nothing stays behind, and what can be served again is."""
import os
import signal
import time
import unittest

import served

RECOVERED_WITHIN_S = 60
QUESTION = "What is the capital of France?"


class DeathTest(unittest.TestCase):
    def test_killing_the_command_line_leaves_nothing(self):
        with served.Served(served.DEMO, ranks=2) as server:
            self.assertEqual(len(server.mark.pids("drover-worker")), 2)
            server.process.kill()
            server.process.wait()
            server.mark.expect_gone()

    def test_killing_the_command_line_of_one_rank_leaves_nothing(self):
        with served.Served(served.DEMO, ranks=1) as server:
            server.process.kill()
            server.process.wait()
            server.mark.expect_gone()

    def test_interrupt_ends_everything_with_success(self):
        with served.Served(served.DEMO, ranks=2) as server:
            self.assertEqual(server.stop(signal.SIGINT), 0)
            server.mark.expect_gone()

    def test_stopping_while_it_starts_leaves_nothing(self):
        server = served.Served(served.DEMO, ranks=2)
        for delay in (0.05, 0.4, 1.0):
            with self.subTest(delay=delay):
                process = served.subprocess.Popen(server.words, env=server.mark.environment(), stdin=served.subprocess.DEVNULL,
                                                  stdout=served.subprocess.DEVNULL, stderr=served.subprocess.DEVNULL)
                time.sleep(delay)
                process.terminate()
                self.assertIn(process.wait(served.GONE_WITHIN_S), (0, 1, -signal.SIGTERM))
                server.mark.expect_gone()

    def test_the_model_comes_back_after_each_death(self):
        with served.Served(served.DEMO, ranks=2) as server:
            answer = server.chat(QUESTION)
            for program in ("drover-worker", "mpirun", "drover-coordinator"):
                with self.subTest(program):
                    self.recover(server, program)
                    self.assertEqual(server.chat(QUESTION), answer)
                    self.assertEqual(len(server.mark.pids("drover-worker")), 2)
                    self.assertEqual(len(server.mark.pids("drover-coordinator")), 1)
            self.assertEqual(server.stop(), 0)
            server.mark.expect_gone()

    def recover(self, server, program):
        before = server.mark.pids(program)
        os.kill(before[0], signal.SIGKILL)
        served.wait_until(lambda: before[0] not in server.mark.processes(), 5, f"{program} dead")
        gone = set(before) if program == "drover-worker" else set(before[:1])
        served.wait_until(lambda: not gone & set(server.mark.processes()), served.GONE_WITHIN_S, f"peers of the dead {program} gone")
        served.wait_until(lambda: server.mark.pids(program) and server.ready(), RECOVERED_WITHIN_S, f"ready again after {program}")


if __name__ == "__main__":
    unittest.main(verbosity=2)
