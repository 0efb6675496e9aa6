"""The scenarios: what breaks, in which order, on how many workers."""

import time

from tests.chaos.stage import Scenario, Stage

__all__ = ["FULL", "SHORT"]

ROLL_SECONDS = 10.0


def _burst(stage: Stage) -> None:
    """Kill an observe, a judge and a whole worker within a second."""
    stage.fleet.kill_role("observe")
    time.sleep(stage.draw.uniform(0.0, 0.5))
    stage.fleet.kill_role("judge")
    time.sleep(stage.draw.uniform(0.0, 0.5))
    stage.fleet.kill_worker()


def kills(stage: Stage) -> None:
    """Kill roles, supervisors, whole workers; a burst, and one right after a snapshot."""
    for _ in range(2):
        stage.fault("kill -9 of an observe", lambda: stage.fleet.kill_role("observe"), kills=1)
        stage.fault("kill -9 of a judge", lambda: stage.fleet.kill_role("judge"), kills=1)
        stage.fault("kill -9 of a worker", stage.fleet.kill_worker, kills=1)
    stage.fault("kill -9 of a supervisor", stage.fleet.kill_supervisor, kills=1)
    stage.fault("kill -9 after a snapshot", stage.kill_after_snapshot, kills=1)
    stage.fault("burst of 3 kills", lambda: _burst(stage), kills=3)
    stage.fault("kill -9 after a snapshot", stage.kill_after_snapshot, kills=1)


def broker(stage: Stage) -> None:
    """Stop the broker for 1, 6 and 30 s; kill it."""
    stage.fault("broker stopped 1 s", lambda: stage.stop_broker(1))
    stage.fault("broker stopped 6 s", lambda: stage.stop_broker(6))
    stage.fault("broker stopped 30 s", lambda: stage.stop_broker(30))
    stage.fault("kill -9 of the broker", stage.kill_broker)


def _roll(stage: Stage, times: int) -> None:
    """Add a worker and stop the oldest, every 10 s."""
    for _ in range(times):
        began = time.monotonic()
        stage.fleet.start()
        stage.fleet.stop(stage.fleet.workers[0])
        time.sleep(max(0.0, ROLL_SECONDS - (time.monotonic() - began)))


def rolling(stage: Stage) -> None:
    """Replace every worker, twice."""
    stage.fault("6 workers replaced, one every 10 s", lambda: _roll(stage, 6))


def zombies(stage: Stage) -> None:
    """Let roles sleep past the session timeout, and wake up to a group that has gone on."""
    for role in ("observe", "judge", "observe", "judge"):
        stage.zombie(role)


def stops(stage: Stage) -> None:
    """Stop workers by SIGTERM."""
    for _ in range(3):
        stage.fault("SIGTERM", lambda: stage.fleet.stop(stage.fleet.workers[0]))
        stage.fleet.start()
        stage.gauge.recovered(time.monotonic())


def apart(stage: Stage) -> None:
    """Kill roles that run on workers of their own."""
    for role in ("observe", "judge"):
        stage.fault(f"kill -9 of a worker with {role} only", stage.fleet.kill_worker, kills=1)


def mixed(stage: Stage) -> None:
    """Do a little of everything."""
    stage.fault("kill -9 after a snapshot", stage.kill_after_snapshot, kills=1)
    stage.fault("burst of 3 kills", lambda: _burst(stage), kills=3)
    stage.fault("broker stopped 6 s", lambda: stage.stop_broker(6))
    stage.zombie("judge")


def stop(stage: Stage) -> None:
    """Stop one of two workers by SIGTERM."""
    stage.fault("SIGTERM", lambda: stage.fleet.stop(stage.fleet.workers[0]))


FULL = (
    Scenario("kills", kills, 200_000, rate=1_000),
    Scenario("broker", broker, 80_000),
    Scenario("rolling", rolling, 60_000),
    Scenario("zombies", zombies, 60_000),
    # Six workers are stopped, the last three at the end.
    Scenario("stops", stops, 60_000, panes_again_max=6),
    Scenario("apart", apart, 40_000, workers=("observe", "judge", "observe", "judge")),
)
SHORT = (
    Scenario("mixed", mixed, 40_000),
    # Both workers are stopped, the second one at the end.
    Scenario("stop", stop, 6_000, workers=("", ""), panes_again_max=2),
)
