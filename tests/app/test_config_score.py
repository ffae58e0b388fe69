"""The settings of [score]."""

from __future__ import annotations

from pathlib import Path

import pytest

from ekiden.app.config import load
from ekiden.base.errors import ConfigError

SMALL = 'hostname = "mx.one.test"\n'


def _problems(tmp_path: Path, more: str, top: str = "") -> list[str]:
    file = tmp_path / "ekiden.toml"
    file.write_text(SMALL + top + more)
    with pytest.raises(ConfigError) as caught:
        load(file, {})
    return [problem.removeprefix(str(tmp_path) + "/") for problem in caught.value.problems]


def test_lists_and_weights_are_read(tmp_path: Path) -> None:
    file = tmp_path / "ekiden.toml"
    file.write_text(
        SMALL + '[score]\ntag = 20\n[score.weights]\nspf-fail = 0\nbayes-99 = 45\n[[score.lists]]\nzone = "Zen.List.test."\nname = "zen"\n'
        'codes = ["127.0.0.2-4", "127.0.0.9"]\npoints = 60\n[[score.lists]]\nzone = "good.test"\npoints = -30\nsubject = "domain"\n'
    )
    score = load(file, {}).score
    assert (score.tag, score.junk, score.refuse) == (20, 50, 100)
    assert score.weights == {"spf-fail": 0, "bayes-99": 45}
    zen, good = score.lists
    assert (zen.zone, zen.name, zen.codes, zen.points, zen.subject, zen.refuse) == (
        "zen.list.test", "zen", ("127.0.0.2-4", "127.0.0.9"), 60, "address", False,
    )  # fmt: skip
    assert (good.name, good.codes, good.points, good.subject) == (None, ("127.0.0.2",), -30, "domain")


def test_weights_may_come_from_the_environment(tmp_path: Path) -> None:
    file = tmp_path / "ekiden.toml"
    file.write_text(SMALL)
    assert load(file, {"EKIDEN_SCORE__WEIGHTS": "spf-fail=5,iprev-fail=0"}).score.weights == {"spf-fail": 5, "iprev-fail": 0}


@pytest.mark.parametrize(("more", "told"), [
    ("[score.weights]\nspf-fial = 3\n", 'ekiden.toml:3: score.weights.spf-fial: no such key; did you mean "spf-fail"?'),
    ("[score.weights]\nspf-fail = -3\n", "ekiden.toml:3: score.weights.spf-fail: expected 0 to 1000, found -3"),
    ("[score]\njunk = 20\n", "ekiden.toml:3: score.junk: the thresholds must rise: tag (30), junk (20), refuse (100)"),
    ("[score]\nrefuse = 40\n", "ekiden.toml:3: score.refuse: the thresholds must rise: tag (30), junk (50), refuse (40)"),
    ("[[score.lists]]\npoints = 3\n", "ekiden.toml:2: score.lists[0].zone: must be set"),
    ("[[score.lists]]\nzone = 'a.test'\ncodes = ['128.0.0.1']\n", "ekiden.toml:4: score.lists[0].codes[0]: expected answers that count"),
    ("[[score.lists]]\nzone = 'a.test'\nname = 'a b'\n", "ekiden.toml:4: score.lists[0].name: expected a short name"),
    ("[[score.lists]]\nzone = 'a.test'\n[[score.lists]]\nzone = 'a.test'\n", "ekiden.toml:4: score.lists[1]: two lists have the name"),
    ("[[score.lists]]\nzone = 'a.test'\nsubject = 'adress'\n", 'did you mean "address"?'),
])
def test_what_is_wrong_is_named_with_its_line(tmp_path: Path, more: str, told: str) -> None:
    (problem,) = _problems(tmp_path, more)
    assert told in problem


def test_a_policy_that_would_ask_no_list_is_a_mistake(tmp_path: Path) -> None:
    (problem,) = _problems(tmp_path, "[[score.lists]]\nzone = 'a.test'\n", 'policies = ["builtin:dnsbl"]\n')
    assert problem.startswith("ekiden.toml:2: policies: builtin:dnsbl asks only lists with refuse = true")
