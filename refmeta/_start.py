"""While the command is being loaded, Ctrl-C ends it at once and quietly; `run` in `__main__` listens from then on.

Without this NumPy turns an interrupt of its own import into an ImportError, and the exit status into 1.
"""

import os
import signal
import sys

__all__: list[str] = []

COMMAND = sys.argv[:1] == ["-m"] and "refmeta" in sys.orig_argv or os.path.basename(sys.argv[0]) == "refmeta"
if COMMAND and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)
