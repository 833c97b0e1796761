from fscache.server.limits import Limits, RateLimiter
from tests.conftest import Clock


def test_a_burst_passes_then_the_rate_holds_each_client_by_itself() -> None:
    clock = Clock(0.0)
    limiter = RateLimiter(Limits(rate=2.0, burst=2.0), clock)
    assert [limiter.take("a") for _ in range(4)] == [0.0] * 4
    assert limiter.take("a") == 0.5
    assert limiter.take("b") == 0.0
    clock.advance(0.5)
    assert limiter.take("a") == 0.0
    assert limiter.take("a") > 0


def test_no_rate_is_no_limit() -> None:
    limiter = RateLimiter(Limits(), Clock())
    assert not any(limiter.take("a") for _ in range(10_000))


def test_the_table_of_clients_is_bounded() -> None:
    limiter = RateLimiter(Limits(rate=1.0), Clock())
    for number in range(10_050):
        limiter.take(str(number))
    assert len(limiter._buckets) == 10_000
