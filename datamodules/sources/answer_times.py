"""Times of answers, whatever program wrote them: which of two came later.

| written | read as |
|---|---|
| ``2024-05-03 10:02:00``, ``2024-10-1T9:00:05.25+02:00``, ``2024/5/3 22:10Z`` | ISO 8601, digits and zone may be missing |
| ``5/3/2024 10:02:00 AM`` | month, day, year, or day, month, year: see `Clock` |
| ``02.10.2024 09:00`` | day, month, year |
| ``3 May 2024 10:02``, ``May 3, 2024 10:02 PM``, ``Fri May 03 2024 10:02:00 GMT+0200 (CEST)`` | the month by name |
| ``1714730520``, ``1714730520123`` | a number: the larger is the later |
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

WAYS = "write times as 2024-05-03 10:02:00, with a zone (+02:00) in all rows or in none"

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_NAME = r"(?P<name>jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.?"
_WEEKDAY = r"(?:(?:mon|tue|wed|thu|fri|sat|sun)[a-z]*\.?,?\s+)?"
_CLOCK = (
    r"(?:(?:\s*[T,]\s*|\s+)(?P<hour>\d{1,2}):(?P<minute>\d{2})(?::(?P<second>\d{2})(?:[.,](?P<part>\d+))?)?"
    r"(?:\s*(?P<half>[ap])\.?m\.?)?)?"
    r"\s*(?P<zone>Z|(?:UTC|GMT)?\s*[+-]\d{2}:?\d{2}|(?:UTC|GMT)?\s*[+-]\d{1,2}|UTC|GMT)?(?:\s*\([^)]*\))?"
)
_DATES = {
    "ymd": r"(?P<year>\d{4})(?P<mark>[-/.])(?P<month>\d{1,2})(?P=mark)(?P<day>\d{1,2})",
    "slashes": r"(?P<first>\d{1,2})(?P<mark>[/-])(?P<next>\d{1,2})(?P=mark)(?P<year>\d{4})",
    "dots": r"(?P<day>\d{1,2})\.(?P<month>\d{1,2})\.(?P<year>\d{4})",
    "day name": _WEEKDAY + r"(?P<day>\d{1,2})\.?[\s-]+" + _NAME + r"[\s-]+(?P<year>\d{4})",
    "name day": _WEEKDAY + _NAME + r"\s+(?P<day>\d{1,2}),?\s+(?P<year>\d{4})",
}
_WRITTEN = {way: re.compile(date + _CLOCK, re.IGNORECASE) for way, date in _DATES.items()}
_NUMBER = re.compile(r"\d+(?:\.\d+)?")
_UNITS = (
    (12, 13),
    (15, 16),
    (18, 19),
)  # digits of milliseconds, microseconds and nanoseconds since 1970; fewer: seconds


class TimeError(ValueError):
    """A time that cannot be told; the text says why, and stands behind the row."""


@dataclass(frozen=True)
class Clock:
    """How the times of one column are written.

    Attributes:
        orders: of day and month in times with slashes, True for months first: one, or both where the column does not tell.
        zoned: whether times have a zone.
        numbers: whether they are numbers.
    """

    orders: tuple[bool, ...]
    zoned: bool
    numbers: bool

    @classmethod
    def of_column(cls, times: Iterable[str]) -> Clock:
        """From all times of a column: a day above 12 anywhere tells days from months in all of them."""
        found = [_match(time) for time in times]
        matches = [match for _, match in found if match is not None]
        pairs = [(int(match["first"]), int(match["next"])) for way, match in found if match and way == "slashes"]
        possible = [order for order in (True, False) if all((one if order else two) <= 12 for one, two in pairs)]
        zones = sum(match["zone"] is not None for match in matches)
        return cls(tuple(possible) if pairs and possible else (True,), zones * 2 > len(matches), not matches)

    def seconds(self, time: str, month_first: bool = True) -> float:
        """Seconds since one moment, the same for all of the column.

        Raises:
            TimeError: it cannot be read, or is written in another way than the rest of the column.
        """
        way, match = _match(time)
        if match is None:
            if self.numbers and _NUMBER.fullmatch(time.strip()):
                return _number(time.strip())
            raise TimeError(f"the time {time!r} cannot be read; {WAYS}")
        if (match["zone"] is not None) != self.zoned:
            raise TimeError(f"the time {time!r} has {'no' if self.zoned else 'a'} zone, unlike others; {WAYS}")
        try:
            return _moment(match, *_month_and_day(way, match, month_first))
        except ValueError as error:
            raise TimeError(f"the time {time!r} cannot be: {error}; {WAYS}") from error


def _match(time: str) -> tuple[str, re.Match[str] | None]:
    for way, pattern in _WRITTEN.items():
        match = pattern.fullmatch(time.strip())
        if match is not None:
            return way, match
    return "", None


def _number(text: str) -> float:
    """Seconds of a number; its unit follows from its digits."""
    digits = len(text.partition(".")[0])
    power = next((place for place, unit in enumerate(_UNITS, start=1) if digits in unit), 0)
    return float(text) / 1000**power


def _month_and_day(way: str, match: re.Match[str], month_first: bool) -> tuple[int, int]:
    if way == "slashes":
        one, two = int(match["first"]), int(match["next"])
        return (one, two) if month_first else (two, one)
    if "name" in way:
        return 1 + _MONTHS.index(match["name"].lower()), int(match["day"])
    return int(match["month"]), int(match["day"])


def _moment(match: re.Match[str], month: int, day: int) -> float:
    """Seconds since 1970; without a zone, on the clock of UTC, for all of a column are on one clock."""
    hour, half = int(match["hour"] or 0), (match["half"] or "").lower()
    if half and not 1 <= hour <= 12:
        raise ValueError(f"hour {hour} with AM or PM")
    hour = hour % 12 + 12 * (half == "p") if half else hour
    micro = int((match["part"] or "0")[:6].ljust(6, "0"))
    moment = datetime(
        int(match["year"]), month, day, hour, int(match["minute"] or 0), int(match["second"] or 0), micro, UTC
    )
    return (moment - _offset(match["zone"])).timestamp()


def _offset(zone: str | None) -> timedelta:
    sign, digits = re.search(r"[+-]", zone or ""), re.sub(r"\D", "", zone or "")
    if sign is None:
        return timedelta(0)
    hours, minutes = (int(digits), 0) if len(digits) <= 2 else (int(digits[:2]), int(digits[2:]))
    if hours > 14 or minutes > 59:
        raise ValueError(f"zone {zone}")
    return timedelta(hours=hours, minutes=minutes) * (-1 if sign[0] == "-" else 1)
