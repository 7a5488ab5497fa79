"""Random codes for people, and what is stored of secrets."""

from __future__ import annotations

import hashlib
import secrets

LETTERS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford's base 32: nothing to mistake when it is read aloud
_MISTAKEN = str.maketrans({"O": "0", "I": "1", "L": "1", "-": "", " ": ""})


def digest(secret: str) -> str:
    """sha256 in hex. Enough for random secrets of 80 bits and more; passwords take argon2."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def resume_code() -> str:
    """100 random bits as ``XXXXX-XXXXX-XXXXX-XXXXX``."""
    return "-".join("".join(secrets.choice(LETTERS) for _ in range(5)) for _ in range(4))


def tidy(code: str) -> str:
    """A code as it was given out, however it was typed."""
    plain = code.strip()[:100].upper().translate(_MISTAKEN)
    return "-".join(plain[start : start + 5] for start in range(0, len(plain), 5))


def pseudonym() -> str:
    """P-XXXXX: what exports call a person."""
    return "P-" + "".join(secrets.choice(LETTERS) for _ in range(5))
