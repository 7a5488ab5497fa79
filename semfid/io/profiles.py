"""What an ICC profile is called, and pairs whose two images have not the same."""

from __future__ import annotations

import io

from PIL import ImageCms

from semfid.io.decoding import FAULTS

UNREADABLE = "that cannot be read"
PROFILE_FAULTS: tuple[type[Exception], ...] = (*FAULTS, ImageCms.PyCMSError)
"""What reading or applying a damaged profile raises."""


def profile_name(profile: bytes) -> str:
    """Its description; empty where there is none, or where it is sRGB, which images without a profile are taken for."""
    if not profile:
        return ""
    try:
        name = ImageCms.getProfileDescription(ImageCms.ImageCmsProfile(io.BytesIO(profile))).strip()
    except PROFILE_FAULTS:
        return UNREADABLE
    return "" if "srgb" in name.lower() else " ".join(name.split())[:60] or "without a name"


def profiles_differ(one: str, name: str, other: str, other_name: str) -> str:
    """What to say of a pair; empty where both have the same profile, or none.

    Args:
        one, other: names of its images.
        name, other_name: of their profiles, by `profile_name`.
    """
    if name == other_name:
        return ""
    if name and other_name:
        return f"{one} has the colour profile {name}, {other} {other_name}; convert both to sRGB"
    has, lacks = (one, other) if name else (other, one)
    told = f"{has} has the colour profile {name or other_name}, {lacks} none"
    return f"{told}: equal numbers are other colours; convert both to sRGB"
