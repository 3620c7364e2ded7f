"""What scripts/chaos reports: a law that was broken by its name, and how fast memory grew."""

from __future__ import annotations

import pytest

from scripts.chaos import Sample, slope, strike


class TestAReport:
    def test_names_a_message_that_is_lost(self) -> None:
        report = strike(0.1, seed=1, sabotage="message")

        assert report.violation is not None
        assert "lost 'nobody 1'" in report.violation
        assert (report.waves, report.asks > 0) == (1, True)

    def test_names_the_operations_that_contradict(self) -> None:
        report = strike(0.1, seed=1, sabotage="read")

        assert report.violation is not None
        assert "the saboteur's GetSession" in report.violation


class TestTheSlope:
    def test_is_bytes_a_minute_without_the_first_samples(self) -> None:
        samples = [Sample(each, each * 2 if each else 1_000) for each in range(0, 240, 60)]

        assert slope(samples) == pytest.approx(120)

    def test_needs_three_samples_that_count(self) -> None:
        assert slope([Sample(each, each) for each in range(3)]) is None

    def test_is_none_where_no_time_goes_by(self) -> None:
        assert slope([Sample(1, each) for each in range(8)]) is None
