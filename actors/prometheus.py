"""Numbers for Prometheus: the sink that its own client library exposes. Extra `metrics`."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from callboard.actors.metrics import METRICS, MetricKind
from callboard.supervision.model.errors import CallboardError, InvalidSpec

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry


class MetricsExtraMissing(CallboardError, ImportError):
    """The package `prometheus-client` is not installed."""

    code = "metrics_extra_missing"
    remedy: str = "Install it: pip install callboard[metrics]."


_NONE: Final[Mapping[str, str]] = {}

SECONDS_BUCKETS: Final = (0.005, 0.02, 0.1, 0.5, 2.0, 10.0, 60.0, 600.0, 3600.0, 86400.0)
"""Upper bounds of the histograms' buckets, in seconds."""


class PrometheusMetrics:
    """Keeps the numbers of `callboard.actors.METRICS` in a registry of Prometheus' client.

    Whoever exposes the registry exposes them: `prometheus_client.start_http_server`,
    `make_asgi_app`, `generate_latest`.

    Args:
        registry: where they are kept; None: the client library's own default one. Two
            session systems in one process need a registry each.

    Raises:
        MetricsExtraMissing: `prometheus-client` is not installed.
        InvalidSpec: it is no registry, or has metrics of these names already.
    """

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        try:
            import prometheus_client as client  # noqa: PLC0415 -- an extra: only who wants it has it
        except ImportError as error:
            msg = "the package prometheus-client is missing"
            raise MetricsExtraMissing(msg) from error
        registry = client.REGISTRY if registry is None else registry
        if not isinstance(registry, client.CollectorRegistry):
            raise InvalidSpec("registry", registry, "Give a CollectorRegistry, or None.")
        kinds: Mapping[MetricKind, Any] = {
            MetricKind.COUNTER: client.Counter,
            MetricKind.GAUGE: client.Gauge,
            MetricKind.HISTOGRAM: partial(client.Histogram, buckets=SECONDS_BUCKETS),
        }
        self._metrics: dict[str, Any] = {}
        self._children: dict[tuple[str, tuple[str, ...]], Any] = {}
        try:
            for metric in METRICS:
                made = kinds[metric.kind](metric.name, metric.help, metric.labels, registry=None)
                registry.register(made)
                self._metrics[metric.name] = made
        except ValueError as taken:
            for made in self._metrics.values():
                registry.unregister(made)
            remedy = "Give each PrometheusMetrics a registry of its own: this one has such metrics."
            raise InvalidSpec("registry", registry, remedy) from taken

    def counter(self, name: str, amount: float, labels: Mapping[str, str] = _NONE, /) -> None:
        """Add to a counter."""
        self._child(name, labels).inc(amount)

    def gauge(self, name: str, value: float, labels: Mapping[str, str] = _NONE, /) -> None:
        """Set a gauge."""
        self._child(name, labels).set(value)

    def histogram(self, name: str, value: float, labels: Mapping[str, str] = _NONE, /) -> None:
        """Add one observation to a histogram."""
        self._child(name, labels).observe(value)

    def _child(self, name: str, labels: Mapping[str, str]) -> Any:
        if not labels:
            return self._metrics[name]
        key = name, tuple(labels.values())
        child = self._children.get(key)
        if child is None:  # looked up once: that is most of what a count costs
            child = self._children[key] = self._metrics[name].labels(**labels)
        return child
