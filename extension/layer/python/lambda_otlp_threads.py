"""The layer's own threads, which the function does not find in the lists of `threading`."""

import _thread
import os
import sys

from lambda_otlp_load import time

# Longest wait for the end of a thread, in seconds.
MOMENT = 0.2


class Background:
    """A thread of the layer that `threading` does not list: functions join all listed threads, or wait until one is left.

    The process does not wait for it. `threading.current_thread` would list it until `unlist`.
    """

    def __init__(self, run):
        # The operating system's number of the thread.
        self.native_id = 0
        # Locked while the thread runs.
        self.running = _thread.allocate_lock()
        self.running.acquire()
        _thread.start_new_thread(self.run, (run,))

    def run(self, run):
        layers_threads.add(_thread.get_ident())
        self.native_id = _thread.get_native_id()
        try:
            run()
        finally:
            unlist()
            layers_threads.discard(_thread.get_ident())
            self.running.release()

    def is_alive(self):
        return self.running.locked()

    def join(self, timeout=None):
        if self.running.acquire(timeout=-1 if timeout is None else timeout):
            self.running.release()

    def wait_for_end(self):
        """Waits a moment for the end of a thread that ends now, also for the end of the operating system's thread."""
        until = time.monotonic() + MOMENT
        self.join(MOMENT)
        if self.native_id == _thread.get_native_id():
            # A greenlet has the number of its thread.
            return
        while os.path.exists(f"/proc/self/task/{self.native_id}") and time.monotonic() < until:
            time.sleep(MOMENT / 500)


def may_restart_after_fork():
    """Returns `False` if Python would warn of a thread that starts again right after a fork, and the function shows warnings.

    Early releases of Python 3.13 and 3.14 count the threads after the functions of `os.register_at_fork` (CPython issue 137109).
    The thread then starts with the next span or invocation.
    """
    counts_late = (3, 13) <= sys.version_info < (3, 13, 10) or (3, 14) <= sys.version_info < (3, 14, 1)
    return not (counts_late and sys.warnoptions)


# Python's identifiers of the layer's threads.
layers_threads = set()


def unlist():
    """Removes a thread of the layer from the list of `threading`, to which a log record has added it."""
    if _thread.get_ident() in layers_threads and "threading" in sys.modules:
        getattr(sys.modules["threading"], "_active", {}).pop(_thread.get_ident(), None)
