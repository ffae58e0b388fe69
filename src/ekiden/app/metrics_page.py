"""docs/metrics.md: every metric with its type, labels and meaning, printed from base.measures.

    python -m ekiden.app.metrics_page > docs/metrics.md
"""

from __future__ import annotations

import sys

from ekiden.app.metrics import PREFIX
from ekiden.base.measures import Histogram, Join, Measure, all_measures

_HEAD = """# Metrics

`listeners.metrics` says where they are: `GET /metrics` for Prometheus (or OpenMetrics, if asked for), `GET /health` and `GET /ready`.
Whoever reaches that port may read them: there is no sign-in, so it should stay on this machine or a network of the operator's own. If the
port is taken, that is logged and mail goes on. Printed by `python -m ekiden.app.metrics_page`; a test sees to it that this page is current.

The numbers start at zero with each process. With several processes, one page tells of all: counters and histograms are added up, what
exists once (the queue, the disk) is taken as the largest, and what belongs to a process has the label `worker`. A worker reports every
two seconds; what one that died had counted stays in the sums, but for its last two seconds.

| metric | type | labels | what it is |
|---|---|---|---|
| `ekiden_build_info` | info | version | What serves here. |
"""

_MORE = """
Bounds of the histograms, in the unit of their names: {bounds}.

## Health and readiness

Both answer with JSON, 200 where all is well and 503 where it is not.

- `/health`: the process lives and its event loop answers. `{{"status": "ok", "workers": 1}}`
- `/ready`: mail is taken. `{{"status": "ready", "reasons": []}}`, or 503 with the reasons:

| reason | what it means |
|---|---|
| `starting` | the doors are not open yet |
| `stopping` | a stop signal came; open conversations are being ended |
| `space`, `inodes` | less is free than `limits.free_space` and `limits.free_percent` want |
| `read-only` | the file system of the store takes no writing, as after an error of its disk; mail is taken again by itself once it does |
| `memory` | what may be used of it is used to more than `limits.memory_percent` |
| `damage` | the store has shown damage |
| `store` | the store could not be read just now |
| `door-1: …` | the same of one of several processes, which are called door-1, door-2 … and delivery, as in the log |
| `door-1: died` | this process has ended and its successor does not serve yet |
| `door-1: silent` | this process has not reported for ten seconds |
"""


def page() -> str:
    """The whole page, in Markdown."""
    rows = "".join(_row(measure) for measure in all_measures())
    bounds = {measure.bounds for measure in all_measures() if isinstance(measure, Histogram)}
    shown = "; ".join(", ".join(f"{bound:g}" for bound in each) for each in sorted(bounds))
    return _HEAD + rows + _MORE.format(bounds=shown)


def _row(measure: Measure) -> str:
    about = measure.about
    labels = [*about.labels, *(["worker"] if about.join is Join.EACH else [])]
    values = f" ({about.values})" if about.values else ""
    return f"| `{PREFIX}{about.name}` | {measure.kind} | {', '.join(labels)}{values} | {about.doc} |\n"


if __name__ == "__main__":
    sys.stdout.write(page())
