"""Numbers and times are what the slow way reads, to the last bit and millisecond."""

import math
import random
import struct
from decimal import Decimal

import scans


def literals() -> list[str]:
    """List numbers that are hard to read: halfway points, subnormals, long and huge ones."""
    rng = random.Random(17)
    found = ["0.1e-400", "-0", "-0.0", "0e5", "-0e0", "5e-324", "2.5e-324", "1e22", "1e23", "1e-22"]
    found += ["9007199254740993", "9007199254740993.0", "9007199254740992e3", "1e308", "1.8e308"]
    found += ["0." + "0" * 30 + "123456789012345678", "123456789012345678901234567890", "1e-5000"]
    found += [
        "0.000000000000000000000000000000000000",
        "1e+05",
        "1E-05",
        "00",
        "01",
        "-",
        "1.",
        ".1",
    ]
    found += ["1e", "1e+", "+1", "0x1", "1_0", "1e00000000000000000005", "2.2250738585072011e-308"]
    found += ["2.2250738585072014e-308", "1.7976931348623157e308"]
    for _ in range(20_000):
        number = abs(struct.unpack("d", rng.randbytes(8))[0])
        if math.isfinite(number) and number < 1e308:
            halfway = (Decimal(number) + Decimal(math.nextafter(number, math.inf))) / 2
            found += [repr(number), f"{halfway:.18e}", f"{halfway:.16e}", f"{-number:.17g}"]
    for _ in range(20_000):
        number = rng.gauss(0, 1) * 10.0 ** rng.randrange(-5, 6)
        halfway = (Decimal(number) + Decimal(math.nextafter(number, math.inf))) / 2
        found += [repr(number), f"{halfway:.18g}", str(rng.getrandbits(rng.randrange(1, 70)))]
        found.append(f"{rng.getrandbits(63)}e{rng.randrange(-30, 30)}")
    return found


def test_numbers_are_read_to_the_last_bit() -> None:
    shell = '{"time": 1795431600, "model": "shop", "features": {"amount": %s}}'
    values: list[bytes | None] = [(shell % literal).encode() for literal in literals()]
    taken = len(scans.assert_same(values))
    assert taken > 0.95 * len(values)


def test_times_are_read_to_the_millisecond() -> None:
    rng, texts = random.Random(3), []
    for _ in range(3_000):
        parts = [rng.choice([1989, 1990, 1999, 2000, 2024, 2100, 2101]), rng.randrange(14)]
        parts += [rng.choice([0, 1, 28, 29, 30, 31, 32]), rng.randrange(25), rng.randrange(61)]
        text = "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}".format(*parts, rng.randrange(61))
        text += rng.choice(["", ".", ".1", ".12", ".123", ".999999", "." + "9" * 30])
        texts.append(
            text + rng.choice(["Z", "z", "+00:00", "-23:59", "+14:00", "+24:00", "", "Zz"])
        )
    shell = '{"time": %s, "model": "shop"}'
    values: list[bytes | None] = [(shell % f'"{text}"').encode() for text in texts]
    numbers = [rng.randrange(6 * 10**11, 42 * 10**11) / 1000 for _ in range(3_000)]
    values += [(shell % repr(number)).encode() for number in numbers]
    values += [(shell % f"{number:.6f}").encode() for number in numbers]
    assert len(scans.assert_same(values, None)) > 5_000
