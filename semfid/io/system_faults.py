"""What the system's errors ask of a user: a full disk is one of many."""

from __future__ import annotations

import errno

_FULL = {errno.ENOSPC, errno.EDQUOT}
_FORBIDDEN = {errno.EACCES, errno.EPERM}
_MANY_FILES = {errno.EMFILE, errno.ENFILE}
_IN_THE_WAY = {errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENOTEMPTY}
_DEVICE = {errno.EIO, errno.ENXIO, errno.ENODEV, errno.ESTALE, errno.ENOTCONN, errno.ETIMEDOUT, errno.EHOSTDOWN}


def remedy(error: OSError, elsewhere: str) -> str:
    """What helps against an error of the system, to stand behind its own words.

    Args:
        elsewhere: how another place is chosen, such as ``set cache.folder=``.
    """
    code = error.errno
    if code is None:  # of a library, not of the system
        return "mend this first"
    if code in _FULL:
        return f"free some space or {elsewhere}"
    if code in _FORBIDDEN:
        return f"change the permissions or {elsewhere}"
    if code in _MANY_FILES:
        return "allow more open files (`ulimit -n 4096`)"
    if code == errno.ENOMEM:
        return "free some memory"
    if code == errno.ENAMETOOLONG:
        return f"use shorter names or {elsewhere}"
    if code == errno.ENOENT:
        return "check the path, and whether something else removes files"
    if code in _IN_THE_WAY:
        return f"move what stands in the way or {elsewhere}"
    if code in _DEVICE:
        return "check the disk or its connection"
    return f"check this or {elsewhere}"  # a read-only disk, files that are too large for it, and what is rarer


def said(error: OSError) -> str:
    """The system's words for an error, and the file where it names one."""
    words = error.strerror or str(error) or type(error).__name__
    return f"{error.filename}: {words}" if error.filename else words
