"""What a model's reference is follows from the log, and not from how it comes; thinned, it fits."""

import random
from itertools import pairwise

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from logs import SEMANTICS, SHORT, Shift, effects, events, parts_of_file, profile

from detectors import learning
from detectors.alert import encode
from detectors.events import Event
from detectors.fit import fit
from detectors.learning import Arrived, Learner, Learnt, Patience, learnt_profile
from detectors.monitor import Monitor
from detectors.panes import Clock, cut
from detectors.policy import Policy
from detectors.profile import ProfileBook

HOUR_MS = 3_600_000
LATENESS_MS = 5_000
Row = tuple[int, Event | None]  # record time, and the event or a tick


def partitions(count: int = 3, n: int = 9_000, jitter_ms: int = 8_000) -> list[list[Row]]:
    """Lay a log of events over partitions: out of order, some too late, ticks at the end."""
    draw = random.Random(3)
    rows: list[list[Row]] = [[] for _ in range(count)]
    log = events(n, seed=8)
    for event in log:
        moved = event.time_ms - (draw.randrange(jitter_ms) if draw.random() < 0.2 else 0)
        model = "shop" if draw.random() < 0.9 else "toys"
        at = draw.randrange(count)
        changed = msgspec.structs.replace(event, time_ms=moved, model=model)
        rows[at].append((event.time_ms + 100, changed))
    end = log[-1].time_ms
    for one in rows:
        one += [(end + step * 60_000, None) for step in range(1, 400)]
    return rows


def arrived(rows: list[Row], first: int) -> Arrived:
    """Make the records `first`… of a partition."""
    at = np.array([i for i, (_, event) in enumerate(rows) if event], np.int64)
    return Arrived(
        places=np.arange(first, first + len(rows)),
        record_ms=np.array([record_ms for record_ms, _ in rows], np.int64),
        times_ms=np.array([event.time_ms if event else -1 for _, event in rows], np.int64),
        ticks=np.array([event is None for _, event in rows]),
        events=[event for _, event in rows if event],
        rows=at,
    )


def learn(
    log: list[list[Row]], patience: Patience, chunks: random.Random, *models: str
) -> list[Learnt]:
    """Show a log in chunks of any size, partitions in any order; some models have a profile."""
    learner = Learner(len(log), patience, lambda model: model in known)
    known = set(models)
    found: list[Learnt] = []
    read = [0] * len(log)
    while any(at < len(rows) for at, rows in zip(read, log, strict=True)):
        # No partition is read far ahead of another, in record time.
        behind = [p for p, rows in enumerate(log) if read[p] < len(rows)]
        partition = min(behind, key=lambda p: log[p][read[p]][0] + chunks.randrange(60_000))
        first = read[partition]
        rows = log[partition][first : first + chunks.choice((1, 7, 100, 1_000))]
        learner.take(partition, arrived(rows, first))
        read[partition] += len(rows)
        for one in learner.due():
            known.add(one.model)
            found.append(one)
    return found


def learn_from_panes(
    log: list[list[Row]], patience: Patience, known: set[str]
) -> tuple[list[Learnt], int]:
    """Show the panes that hold an event without a profile, in the judges' order; count the rest."""
    panes = []
    for partition, rows in enumerate(log):
        all_of_it = arrived(rows, 0)
        records = (all_of_it.record_ms, all_of_it.times_ms, all_of_it.ticks)
        first, clock = 0, Clock()
        for one in cut(records, clock, 0, PANE_MS)[0]:
            panes.append((one.number, partition, first, one.end + 1, clock.w, one.clock))
            first, clock = one.end + 1, one.clock
    learner = Learner(len(log), patience, lambda model: model in known)
    found: list[Learnt] = []
    passed_over = 0
    for _, partition, first, end, w_before, behind in sorted(panes, key=lambda one: one[:3]):
        rows = log[partition][first:end]
        if any(event is not None and event.model not in known for _, event in rows):
            learner.reach(partition, Clock(w_before))
            learner.take(partition, arrived(rows, first))
        else:
            passed_over += 1
        learner.reach(partition, behind)
        found += learner.due()
        known |= {one.model for one in found}
    return found, passed_over


PANE_MS = 15_000
PATIENCE = Patience(HOUR_MS, 4_000, LATENESS_MS)
SHORT_STEPS = Patience(HOUR_MS // 6, 1_000, LATENESS_MS)
LOG = partitions()


@settings(max_examples=20)
@given(st.integers(0, 1 << 30), st.sampled_from([PATIENCE, SHORT_STEPS]))
def test_any_chunks_and_any_order_of_partitions_give_the_same_references(
    seed: int, patience: Patience
) -> None:
    found = learn(LOG, patience, random.Random(seed))
    assert found == learn(LOG, patience, random.Random(0))
    assert len(found) == 2


def test_a_reference_is_what_was_on_time_in_whole_steps() -> None:
    (shop, toys) = sorted(learn(LOG, PATIENCE, random.Random(0)), key=lambda one: one.model)
    assert (shop.model, toys.model) == ("shop", "toys")
    w, expected, first = UNSET_EACH.copy(), [], {}
    for partition, rows in enumerate(LOG):
        for record_ms, event in rows:
            if event is None:
                continue
            if event.time_ms + LATENESS_MS > w[partition] and event.model == "shop":
                expected.append(event)
                first.setdefault(partition, event.time_ms)
            w[partition] = max(w[partition], min(event.time_ms, record_ms))
    start = min(first.values())
    # 9,000 events a second apart are 2.5 hours: the second hour makes 4,000 of the nine tenths.
    assert shop.end_ms == start + 2 * HOUR_MS
    within = [e for e in expected if start <= e.time_ms < shop.end_ms]
    assert sorted(map(msgspec.json.encode, shop.events)) == sorted(map(msgspec.json.encode, within))
    assert (
        6_000 < len(within) < len([e for rows in LOG for _, e in rows if e and e.model == "shop"])
    )
    # The other never has enough, and is given up after seven steps with what there is.
    assert toys.end_ms == min(e.time_ms for e in toys.events) + 7 * HOUR_MS


UNSET_EACH = [-1] * len(LOG)


@pytest.mark.parametrize("patience", [PATIENCE, SHORT_STEPS])
@pytest.mark.parametrize("profiled", [(), ("shop",), ("toys",)])
def test_panes_with_events_to_learn_from_are_enough(
    profiled: tuple[str, ...], patience: Patience
) -> None:
    found, passed_over = learn_from_panes(LOG, patience, set(profiled))
    assert found == learn(LOG, patience, random.Random(0), *profiled)
    assert len(found) == 2 - len(profiled)
    # Behind the last event there are ticks.
    assert passed_over > (1_000 if profiled != ("shop",) else 1_500)


def test_a_learnt_profile_is_the_one_that_a_file_of_these_events_gives() -> None:
    (shop,) = [one for one in learn(LOG, PATIENCE, random.Random(1)) if one.model == "shop"]
    assert learnt_profile(shop, SHORT, Policy()) == fit(shop.events, SHORT, Policy())


def test_thinning_keeps_a_set_that_no_chunking_changes_and_its_weight(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (whole,) = [one for one in learn(LOG, PATIENCE, random.Random(1)) if one.model == "shop"]
    monkeypatch.setattr(learning, "EVENTS_MAX", 2_000)
    first = [one for one in learn(LOG, PATIENCE, random.Random(1)) if one.model == "shop"]
    for seed in range(3):
        assert [o for o in learn(LOG, PATIENCE, random.Random(seed)) if o.model == "shop"] == first
    (thinned,) = first
    assert thinned.level == 2
    assert 1_200 < len(thinned.events) <= 2_000
    assert set(map(id_of, thinned.events)) < set(map(id_of, whole.events))
    fitted = learnt_profile(thinned, SHORT, Policy())
    all_of_it = learnt_profile(whole, SHORT, Policy())
    assert fitted.block_events == all_of_it.block_events << 2
    rate, rate_of_all = (
        next(s.reference for s in p.streams if p.channels[s.channel].kind == "rate" and not s.slice)
        for p in (fitted, all_of_it)
    )
    assert rate.mean == pytest.approx(rate_of_all.mean, rel=0.1)  # events a second


def test_large_events_are_thinned_by_their_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learning, "REFERENCE_BYTES_MAX", 1 << 20)
    candidate = learning._Candidate()
    fat = msgspec.structs.replace(events(1)[0], features={f"f{i}": "x" * 100 for i in range(100)})
    keys = learning._hashes(0, np.arange(2_000)).tolist()
    for key in keys:
        candidate.take(0, key, fat)
        assert candidate.held_bytes <= 2 << 20
    assert len(candidate.held) > 30
    assert candidate.level == 5  # 52 MiB in 2


def id_of(event: Event) -> tuple[int, float]:
    return event.time_ms, event.features["amount"]


def test_a_model_with_a_profile_is_not_learnt_and_few_are_at_a_time() -> None:
    learner = Learner(1, PATIENCE, lambda model: model == "known")
    log = events(2_000, seed=2)
    named = [msgspec.structs.replace(e, model=("known", "a", "b", "c", "d", "e")[i % 6])
             for i, e in enumerate(log)]  # fmt: skip
    learner.take(0, arrived([(e.time_ms, e) for e in named], 0))
    assert learner.models == learning.MODELS_MAX
    assert "known" not in learner._candidates


def test_names_that_turn_up_once_do_not_keep_a_model_out() -> None:
    learner = Learner(1, PATIENCE, lambda _: False)
    log = events(3_000, seed=2)
    named = [msgspec.structs.replace(e, model="real" if i % 2 else f"typo {i}")
             for i, e in enumerate(log)]  # fmt: skip
    for first, last in pairwise(range(0, 3_001, 500)):
        learner.take(0, arrived([(e.time_ms, e) for e in named[first:last]], first))
        assert learner.models <= learning.MODELS_MAX
    assert len(learner._candidates["real"].held) == 1_500


def test_a_profile_that_two_owners_have_pushed_takes_over_from_itself() -> None:
    log = events(8_000, seed=5, shifts=(Shift(at=5_000, sigma=3.0),))
    told = []
    for starts in ([0], [0, log[3_000].time_ms // 60_000 * 60_000]):
        held = ProfileBook()
        for start_ms in starts:
            held.add(profile(), start_ms)
        monitor = Monitor(held, SEMANTICS)
        told.append([encode(effect) for effect in effects(monitor, parts_of_file(log, held))])
    assert told[0] == told[1]
    assert any(b'"firing"' in one for one in told[0])
