"""End with the process that started us: a pipe tells, because its other end closes however the parent dies."""

import os
import signal
import threading


def stop_with_parent(pipe: int) -> None:
    """Send ourselves TERM as soon as nobody holds the writing end of `pipe` any more."""

    def wait() -> None:
        os.read(pipe, 1)  # nothing is ever written: this returns when the parent is gone
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, name="parent", daemon=True).start()
