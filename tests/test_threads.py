"""One point shared by eight threads gives the serial numbers, bit for bit."""

import os
import subprocess
import sys

CODE = """
import sys, threading
import numpy as np
import refmeta as rm
from refmeta.problems import random_process

sys.setswitchinterval(1e-5)
rng = np.random.default_rng(0)
task = rm.PolicyReturn(random_process(rng, 2, 20, 4, gamma=0.9), rm.TabularSoftmax(20, 4))
theta, vs = rng.normal(size=80), rng.normal(size=(2000, 80))
serial = task.at(theta)
expected, wrong = [serial.hvp(v) for v in vs], []
shared, start = task.at(theta), threading.Barrier(8)

def work(k):
    start.wait()
    for i in range(k, 2000, 8):
        if not np.array_equal(shared.hvp(vs[i]), expected[i]):
            wrong.append(i)

threads = [threading.Thread(target=work, args=(k,)) for k in range(8)]
[t.start() for t in threads]
[t.join() for t in threads]
assert np.array_equal(shared.grad, serial.grad)
print(len(wrong), "wrong")
"""


def test_eight_threads_share_one_point():
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    run = subprocess.run([sys.executable, "-W", "error", "-c", CODE], capture_output=True, text=True, env=environment)
    assert (run.returncode, run.stdout.strip()) == (0, "0 wrong"), run.stderr
