"""Stand-in until N2's file is there."""

import numpy as np
from detectors.arithmetic import exp
from detectors.drift.adwin import AdwinBank
from detectors.drift.page_hinkley import PageHinkleyBank


def _siegmund(k, steps):
    low, high = 0.0, 60.0
    for _ in range(60):
        b = (low + high) / 2
        if (float(exp(2 * k * b)) - 2 * k * b - 1) / (2 * k * k) < 2 * steps:
            low = b
        else:
            high = b
    return max(low - 1.166, 1.0)


class _C:
    def __init__(self, bank):
        self.bank = bank

    def update(self, i, s):
        return self.bank.update(i, s)

    def reset(self, i):
        pass

    def snapshot(self):
        return self.bank.snapshot()

    def restore(self, s):
        self.bank.restore(s)


def companion(name, steps, delta, variance):
    if name == "adwin":
        return _C(AdwinBank(len(steps), clock=1))
    return _C(
        PageHinkleyBank(
            len(steps), delta=0.5, threshold=np.array([_siegmund(0.5, a) for a in steps])
        )
    )
