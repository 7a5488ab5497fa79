"""Runs the application under uvicorn: one process on SQLite, several on PostgreSQL."""

from __future__ import annotations

import errno
import json
import os
import socket
from ipaddress import ip_address
from pathlib import Path

import uvicorn
from starlette.applications import Starlette

from user_study.core.errors import StudyError
from user_study.core.folder import open_study
from user_study.web.app import ServeOptions, create_app

ENVIRONMENT = "SEMFID_STUDY_WORKER"  # how the folder and options reach the worker processes
GRACE_S = 15  # for requests under way when the server is told to stop


def check_address(host: str, port: int, plain_http: bool, proxies: list[str]) -> None:
    """Refuse what would end in a half-open server.

    Raises:
        StudyError: the port is taken or forbidden, the address is not this machine's, a proxy's address is none, or other
            machines would be served without HTTPS and nobody has said so.
    """
    for proxy in proxies:
        try:
            ip_address(proxy)
        except ValueError as error:
            raise StudyError(
                f"--proxy {proxy}: write the IP address that the proxy connects from, such as 127.0.0.1"
            ) from error
    if not _is_local(host) and not plain_http and not proxies:
        raise StudyError(
            f"--host {host} lets other machines in without HTTPS, and browsers then send sessions in the clear; put a proxy "
            "with HTTPS in front and name it with --proxy, or say --plain-http (a closed lab network only)"
        )
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                free = _free_port(host, family)
                raise StudyError(f"port {port} is taken by another program; {free} is free: --port {free}") from error
            if error.errno == errno.EACCES:
                raise StudyError(f"port {port} is reserved for the system; use one above 1023: --port 8000") from error
            said = f"--host {host}: not an address of this machine ({error.strerror}); use 127.0.0.1 or 0.0.0.0"
            raise StudyError(said) from error
        except OverflowError as error:
            raise StudyError(f"--port {port}: use a number from 1024 to 65535") from error


def _free_port(host: str, family: int) -> int:
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def _is_local(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def serve(folder: Path, host: str, port: int, options: ServeOptions, proxies: list[str], workers: int) -> None:
    """Serve until SIGINT or SIGTERM; requests under way are finished first."""
    os.environ[ENVIRONMENT] = json.dumps({"folder": str(folder.resolve()), "options": vars(options)})
    uvicorn.run(
        "user_study.web.serving:worker",
        factory=True,
        host=host,
        port=port,
        workers=workers,
        proxy_headers=bool(proxies),
        forwarded_allow_ips=proxies or None,
        server_header=False,
        access_log=False,  # addresses hold invitation tokens and Prolific's ids
        log_level="warning",
        timeout_graceful_shutdown=GRACE_S,
        timeout_keep_alive=65,
        backlog=2048,
    )


def worker() -> Starlette:
    """The application of one process."""
    said = json.loads(os.environ[ENVIRONMENT])
    study = open_study(said["folder"])
    return create_app(study.database, study.path, ServeOptions(**said["options"]), close=study.database.close)
