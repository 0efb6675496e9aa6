"""Read a page of metrics as Prometheus does."""

from prometheus_client.parser import text_string_to_metric_families

__all__ = ["samples"]


def samples(page: bytes, name: str) -> dict[tuple[str, ...], float]:
    """Give the values of a series by its labels."""
    families = text_string_to_metric_families(page.decode())
    return {
        tuple(one.labels.values()): one.value
        for family in families
        for one in family.samples
        if one.name == name
    }
