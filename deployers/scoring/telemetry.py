"""What can be known of a running service from outside: numbers for Prometheus."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_IMAGES = (1, 2, 4, 8, 16, 32, 64)


class Telemetry:
    """The numbers of one service."""

    def __init__(self, name: str, version: str) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "scoring_requests", "Requests, by how they ended.", ["status"], registry=self.registry
        )
        self.images = Counter(
            "scoring_images", "Images that were answered.", registry=self.registry
        )
        self.seconds = Histogram(
            "scoring_request_seconds",
            "From the head of a request to its answer.",
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.batch = Histogram(
            "scoring_batch_images",
            "Images that were computed together.",
            buckets=_IMAGES,
            registry=self.registry,
        )
        self.waiting = Gauge(
            "scoring_waiting_images", "Images that wait for an answer.", registry=self.registry
        )
        self.samples = Counter(
            "scoring_samples",
            "Requests that were drawn to be kept, by how that ended.",
            ["outcome"],
            registry=self.registry,
        )
        model = Gauge(
            "scoring_model", "What is served.", ["name", "version"], registry=self.registry
        )
        model.labels(name, version).set(1)

    def page(self) -> bytes:
        """All numbers, in the text format of Prometheus."""
        return generate_latest(self.registry)

    def ended(self, status: int, images: int, seconds: float) -> None:
        """Counts a request."""
        self.requests.labels(str(status)).inc()
        if status < 400:  # noqa: PLR2004 - HTTP's first status of an error
            self.images.inc(images)
            self.seconds.observe(seconds)

    def sampled(self, outcome: str) -> None:
        """Counts a request that was drawn to be kept."""
        self.samples.labels(outcome).inc()
