"""Nine digits of many numbers at once are those of each number's own text."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.alert import nine_digits
from detectors.rounding import rounded

NUMBERS = (
    st.floats()
    | st.floats(-1e6, 1e6)
    | st.integers(-(10**15), 10**15).map(float)
    # Halves of the ninth digit, and what lies next to them and to powers of ten.
    | st.builds(
        lambda m, e, d: math.nextafter((m + 0.5) * 10.0**e, d),
        st.integers(10**8, 10**9 - 1),
        st.integers(-22, 22),
        st.sampled_from([-math.inf, 0.0, math.inf]),
    )
    | st.builds(
        lambda e, d: math.nextafter(10.0**e, d), st.integers(-30, 30), st.sampled_from([0.0, 1e99])
    )
)


@given(st.lists(NUMBERS))
def test_every_number_is_rounded_to_the_very_float_that_its_text_gives(values: list[float]) -> None:
    expected = [nine_digits(value) for value in values]
    found = rounded(np.array(values, np.float64))
    assert list(map(repr, expected)) == list(map(repr, found))


@pytest.mark.parametrize("exponent", range(-20, 22))
def test_a_half_goes_to_the_even_digit_if_it_is_one_in_binary_too(exponent: int) -> None:
    halves = (np.arange(10**8, 10**8 + 1_000) + 0.5) * 10.0**exponent
    assert [nine_digits(value) for value in halves.tolist()] == rounded(halves)
