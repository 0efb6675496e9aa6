"""What `detectors` offers is what it says, and costs nothing until it is used."""

import subprocess
import sys
from pathlib import Path

import pytest

import detectors
import detectors.drift

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("package", [detectors, detectors.drift])
def test_all_is_sorted_and_true(package: object) -> None:
    assert package.__all__ == sorted(package.__all__)
    assert all(hasattr(package, name) for name in package.__all__)


def test_the_package_and_its_drift_package_offer_the_same_objects() -> None:
    assert detectors.__all__ == ["ADWIN", "CUSUM", "EWMA", "PageHinkley", "ShiryaevRoberts"]
    for name in detectors.__all__:
        assert getattr(detectors, name) is getattr(detectors.drift, name)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'KSWIN'"):
        detectors.KSWIN  # noqa: B018  (the access is the test)


def test_importing_the_package_does_not_load_numba() -> None:
    code = "import sys, detectors.errors; print('numba' in sys.modules)"
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == "False"
