"""While the command loads, Ctrl-C ends it at once and without a traceback; later `run` in `__main__` handles Ctrl-C.

Without this, an interrupt during the import of NumPy becomes an ImportError, and the exit status becomes 1.
"""

import os
import signal
import sys

__all__: list[str] = []

COMMAND = sys.argv[:1] == ["-m"] and "refmeta" in sys.orig_argv or os.path.basename(sys.argv[0]) == "refmeta"
if COMMAND and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)
