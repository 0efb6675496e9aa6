"""The names of a prefix's topics and consumer groups."""

from typing import NamedTuple

__all__ = ["TopicNames"]


class TopicNames(NamedTuple):
    """Name the topics of one prefix.

    >>> TopicNames("driftline").events
    'driftline.events'
    """

    prefix: str

    @property
    def events(self) -> str:
        """Name the topic of the events."""
        return f"{self.prefix}.events"

    @property
    def control(self) -> str:
        """Name the topic of profiles and semantic configuration."""
        return f"{self.prefix}.control"

    @property
    def summaries(self) -> str:
        """Name the topic of the parts."""
        return f"{self.prefix}.summaries"

    @property
    def state(self) -> str:
        """Name the topic of the judge's snapshots."""
        return f"{self.prefix}.state"

    @property
    def metrics(self) -> str:
        """Name the topic of the metrics."""
        return f"{self.prefix}.metrics"

    @property
    def alerts(self) -> str:
        """Name the topic of the alerts."""
        return f"{self.prefix}.alerts"

    @property
    def incidents(self) -> str:
        """Name the topic of the incidents."""
        return f"{self.prefix}.incidents"

    @property
    def feedback(self) -> str:
        """Name the topic of what people say of alerts."""
        return f"{self.prefix}.feedback"

    @property
    def rejects(self) -> str:
        """Name the topic of the rejects."""
        return f"{self.prefix}.rejects"

    @property
    def observe_group(self) -> str:
        """Name the consumer group of the observe role."""
        return f"{self.prefix}.observe"

    @property
    def judge_group(self) -> str:
        """Name the consumer group of the judge role."""
        return f"{self.prefix}.judge"

    @property
    def learn_group(self) -> str:
        """Name the consumer group of the learn role."""
        return f"{self.prefix}.learn"
