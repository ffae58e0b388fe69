"""The numbers of base.measures for Prometheus: a process takes a snapshot of its own, one process joins them and puts them into words.

A snapshot is plain JSON values, so that it can go from a worker to the supervisor; nothing is shared between processes.
Source: the text formats of Prometheus and OpenMetrics, as prometheus_client writes them.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import TypeAlias

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, InfoMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric

from ekiden import __version__
from ekiden.base import measures
from ekiden.base.measures import Histogram, Join, Measure, all_measures

PREFIX = "ekiden_"
Snapshot: TypeAlias = dict[str, list[list[object]]]
"""By name: a list of [labels, numbers]; one number, or for a histogram the counts of its bins and the sum."""

_Numbers: TypeAlias = list[float]
_Joined: TypeAlias = dict[tuple[str, ...], _Numbers]
_PAGE = os.sysconf("SC_PAGE_SIZE") if sys.platform != "win32" else 4096


def snapshot() -> Snapshot:
    """All numbers of this process as they are now."""
    measure_process()
    found: Snapshot = {}
    for measure in all_measures():
        rows: list[list[object]] = []
        if isinstance(measure, Histogram):
            rows += [[list(labels), [*bins.counts, bins.total]] for labels, bins in list(measure.cells.items())]
        else:
            rows += [[list(labels), [cell.value]] for labels, cell in list(measure.cells.items())]
        found[measure.about.name] = rows
    return found


def render(snapshots: Mapping[str, Snapshot], accept: str = "") -> tuple[bytes, str]:
    """(page, content type) for the snapshots of all processes, by the name of each. accept: what the client takes."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Families(snapshots))
    encode, kind = choose_encoder(accept)
    return encode(registry), kind


def measure_process() -> None:
    """Memory, file descriptors and processor time of this process."""
    measures.CPU_SECONDS.of().value = time.process_time()
    try:
        with open("/proc/self/statm", "rb") as file:
            measures.MEMORY.of().value = int(file.read().split()[1]) * _PAGE
        measures.OPEN_FILES.of().value = len(os.listdir("/proc/self/fd")) - 1
    except OSError:
        return  # not on Linux, or no descriptor is left: the last ones stand


class _Families:
    """What prometheus_client asks for all metrics."""

    def __init__(self, snapshots: Mapping[str, Snapshot]) -> None:
        self._snapshots = snapshots

    def collect(self) -> Iterator[Metric]:
        yield InfoMetricFamily(PREFIX + "build", "What serves here.", value={"version": __version__})
        for measure in all_measures():
            yield _family(measure, _joined(measure, self._snapshots))


def _joined(measure: Measure, snapshots: Mapping[str, Snapshot]) -> _Joined:
    found: _Joined = {}
    for worker, taken in snapshots.items():
        for labels, numbers in _rows(measure, taken.get(measure.about.name, ())):
            if measure.about.join is Join.EACH:
                labels = (*labels, worker)
            known = found.get(labels)
            if known is None:
                found[labels] = numbers
            elif measure.about.join is Join.MAX:
                found[labels] = [max(pair) for pair in zip(known, numbers, strict=True)]
            else:
                found[labels] = [sum(pair) for pair in zip(known, numbers, strict=True)]
    return found


def _rows(measure: Measure, rows: Iterable[list[object]]) -> Iterator[tuple[tuple[str, ...], _Numbers]]:
    """The rows of a snapshot that have the right shape: another version of ours may have written it."""
    places = len(measure.bounds) + 2 if isinstance(measure, Histogram) else 1
    for row in rows:
        match row:
            case [list(labels), list(numbers)] if len(labels) == len(measure.about.labels) and len(numbers) == places:
                yield tuple(str(label) for label in labels), [float(number) for number in numbers]


def _family(measure: Measure, joined: _Joined) -> Metric:
    about = measure.about
    labels = (*about.labels, "worker") if about.join is Join.EACH else about.labels
    name = PREFIX + about.name
    if isinstance(measure, Histogram):
        family = HistogramMetricFamily(name, about.doc, labels=labels)
        for values, numbers in sorted(joined.items()):
            family.add_metric(values, _buckets(measure.bounds, numbers), sum_value=numbers[-1])
        return family
    kind = GaugeMetricFamily if measure.kind == "gauge" else CounterMetricFamily
    simple = kind(name, about.doc, labels=labels)
    for values, numbers in sorted(joined.items()):
        simple.add_metric(values, numbers[0])
    return simple


def _buckets(bounds: tuple[float, ...], numbers: _Numbers) -> list[tuple[str, float]]:
    """Cumulative, as the format wants them."""
    found: list[tuple[str, float]] = []
    below = 0.0
    for bound, count in zip((*bounds, float("inf")), numbers, strict=False):
        below += count
        found.append(("+Inf" if bound == float("inf") else repr(bound), below))
    return found
