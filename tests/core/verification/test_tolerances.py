"""The floating types of claims: their spacing, their rounding, and their tolerances."""

import numpy as np
import pytest
from support.planted import DTYPES, rounder

from softgrad_core.dtypes import Dtype
from softgrad_core.verification.tolerances import Tolerance


def odd_numbers():
    """Return numbers of every size that some type has, and numbers at the ends of the types."""
    rng = np.random.default_rng(0)
    sizes = np.concatenate([rng.uniform(-1080, 1023, 20_000), rng.uniform(-160, 130, 20_000)])
    ends = [65504.0, 65519.99, 65520.0, 3.4028235e38, 3.4028236e38, 2.0**-24, 2.0**-25, 1e-45]
    numbers = np.concatenate([np.exp2(sizes), ends, [0.0, 1.0, np.inf, 1.7e308, 5e-324]])
    return np.concatenate([numbers, -numbers])


@pytest.mark.parametrize("dtype", DTYPES)
def test_numbers_are_rounded_as_the_type_rounds_them(dtype):
    numbers = odd_numbers()
    if dtype == "bfloat16":
        # The oracle rounds to float32 first, and rounding twice gives another result.
        numbers = rounder("float32")(numbers)
    expected = rounder(dtype)(numbers)
    np.testing.assert_array_equal(Dtype(dtype).round(numbers), expected)


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16"])
def test_the_spacing_agrees_with_numpy(dtype):
    with np.errstate(all="ignore"):
        numbers = np.abs(odd_numbers()).astype(dtype)
    numbers = numbers[np.isfinite(numbers) & (numbers < np.finfo(dtype).max)]
    expected = np.spacing(numbers).astype(np.float64)
    np.testing.assert_array_equal(Dtype(dtype).spacing(numbers.astype(np.float64)), expected)


def test_the_spacing_of_bfloat16_is_that_of_float32_without_the_lower_half():
    assert Dtype.BFLOAT16.epsilon == 2.0**-7
    assert Dtype.BFLOAT16.smallest == 2.0**-133
    assert Dtype.BFLOAT16.largest == 3.3895313892515355e38


@pytest.mark.parametrize(
    "given", ["float32", np.float32, np.dtype("float32"), np.zeros(1, np.float32).dtype]
)
def test_a_type_is_found_by_its_name_and_by_numpy_s_type(given):
    assert Dtype.of(given) is Dtype.FLOAT32


def test_an_unknown_type_is_refused():
    with pytest.raises(ValueError, match="expected a dtype out of float64, float32, bfloat16"):
        Dtype.of("int8")


def test_the_default_tolerances_are_those_of_torch_testing():
    allowed = {dtype.value: (dtype.rtol, dtype.atol) for dtype in Dtype}
    assert allowed == {
        "float64": (1e-7, 1e-7),
        "float32": (1.3e-6, 1e-5),
        "bfloat16": (1.6e-2, 1e-5),
        "float16": (1e-3, 1e-5),
        "float8_e4m3fn": (0.0, 0.0),
        "float8_e5m2": (0.0, 0.0),
    }


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rtol": -1.0}, "expected rtol to be a finite number, 0 or more, got -1.0"),
        ({"atol": float("nan")}, "expected atol to be a finite number, 0 or more, got nan"),
        ({"ulp": 1.0, "atol": 0.0}, "expected either ulp, or rtol and atol, got both"),
    ],
)
def test_an_invalid_tolerance_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Tolerance("float32", **options)
