"""Histograms of how long things took, in bins of two significant digits, as Envoy has them: any two can be added up."""

import math
from collections.abc import Iterable, Mapping
from functools import lru_cache

# Bin ⇒ how many. Bin 0 is what took no time; every other begins at two digits times a power of ten, in ms, and reaches to the
# next: https://github.com/openhistogram/libcircllhist, which is what Envoy counts with.
Histogram = Mapping[int, int]
# The powers of ten that have bins: from a microsecond to a hundred days. What is below or beyond is in the first or last.
LOWEST, HIGHEST = -3, 9
LAST = (HIGHEST - LOWEST + 1) * 90


@lru_cache(4 * LAST)
def bin_of(ms: float) -> int:
    """The bin that so many ms are in."""
    if not ms > 0:
        return 0
    if ms >= 10.0 ** (HIGHEST + 1):
        return LAST
    if ms < 10.0**LOWEST:
        return 1
    power = math.floor(math.log10(ms))
    # A bound that was written in decimal comes back a little below itself.
    digits = math.floor(ms / 10.0 ** (power - 1) + 1e-9)
    if digits > 99:
        power, digits = power + 1, 10
    elif digits < 10:
        power, digits = power - 1, 99
    return min(LAST, max(1, (power - LOWEST) * 90 + digits - 9))


def bounds(bin: int) -> tuple[float, float]:
    """From so many ms up to, and without, so many."""
    if bin <= 0:
        return 0.0, 0.0
    power, digits = divmod(min(bin, LAST) - 1, 90)
    scale = power + LOWEST - 1
    return _times(digits + 10, scale), _times(digits + 11, scale)


def _times(digits: int, power: int) -> float:
    return float(f"{digits}e{power}")


def added(histograms: Iterable[Histogram]) -> dict[int, int]:
    """All of them as one."""
    result: dict[int, int] = {}
    for one in histograms:
        for bin, number in one.items():
            result[bin] = result.get(bin, 0) + number
    return result


def percentile_ms(histogram: Histogram, share: float) -> float | None:
    """So many ms at most took this share (0 to 1) of them: the end of the bin that it falls into. None where there are none."""
    left = share * sum(histogram.values())
    if not histogram or left <= 0:
        return None
    for bin, number in sorted(histogram.items()):
        left -= number
        # What a sum of floats leaves over is nothing.
        if left <= 1e-6:
            return bounds(bin)[1]
    return bounds(max(histogram))[1]


def packed(histogram: Histogram) -> bytes:
    """A few bytes for each bin that is not empty: how far it is from the one before it, and how many are in it."""
    result, before = bytearray(), -1
    for bin, number in sorted(histogram.items()):
        if number > 0:
            for value in (bin - before - 1, number):
                while value > 127:
                    result.append(value & 127 | 128)
                    value >>= 7
                result.append(value)
            before = bin
    return bytes(result)


def unpacked(data: bytes) -> dict[int, int]:
    """Raises ValueError where this was not packed here."""
    values: list[int] = []
    value = shift = 0
    for byte in data:
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            values.append(value)
            value = shift = 0
        elif shift > 63:
            raise ValueError("no histogram: a number without an end")
    if shift or len(values) % 2:
        raise ValueError("no histogram: it ends in the middle")
    result, bin = {}, -1
    for gap, number in zip(values[::2], values[1::2], strict=True):
        bin += gap + 1
        if bin > LAST:
            raise ValueError("no histogram: there is no such bin")
        result[bin] = number
    return result
