"""Drift detectors, one method a file: each as an object for one stream and a bank for many."""

from detectors.drift.adwin import ADWIN
from detectors.drift.cusum import CUSUM
from detectors.drift.ewma import EWMA
from detectors.drift.mixture import ShiryaevRoberts
from detectors.drift.page_hinkley import PageHinkley

__all__ = ["ADWIN", "CUSUM", "EWMA", "PageHinkley", "ShiryaevRoberts"]
