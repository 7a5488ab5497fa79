"""The study's own server on a free port of this machine, for as long as a simulation or a test needs it."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator

import uvicorn

from user_study.core.errors import StudyError
from user_study.core.folder import StudyFolder
from user_study.web.app import ServeOptions, create_app

PATIENCE_S = 30


@contextlib.contextmanager
def serving(study: StudyFolder, options: ServeOptions | None = None) -> Iterator[str]:
    """Serve in a thread; gives the address.

    Raises:
        StudyError: the server does not come up.
    """
    app = create_app(study.database, study.path, options)
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", 0))
        listener.listen(1024)
        config = uvicorn.Config(
            app, log_level="error", access_log=False, server_header=False, timeout_graceful_shutdown=5
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="study-server", daemon=True)
        thread.start()
        try:
            until = time.monotonic() + PATIENCE_S
            while not server.started:
                if time.monotonic() > until or not thread.is_alive():
                    raise StudyError("the study's server did not start; try `semfid study serve` to see why")
                time.sleep(0.01)
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(PATIENCE_S)
