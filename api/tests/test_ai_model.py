"""AI quotas against a model that is small enough to be seen to be right: whatever is reserved, settled, released,
expired, reset and limited in whatever order, at whatever time, PostgreSQL grants, refuses and counts what it does.

The model keeps every call with its time and adds up anew at each question; PostgreSQL keeps counters. Time is a setting
(`limena.ai_clock()` is replaced), goes to the beginnings of minutes and months on purpose, and back now and then.
"""

import copy
import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from support.databases import Database

TTL = timedelta(minutes=10)
MINUTE = timedelta(minutes=1)
_numbers = itertools.count(1)


def month_of(moment: datetime) -> datetime:
    return moment.replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def next_month(moment: datetime) -> datetime:
    return month_of(month_of(moment) + timedelta(days=32))


def minute_of(moment: datetime) -> datetime:
    return moment.replace(second=0, microsecond=0)


@dataclass
class Reservation:
    tokens: int
    made: datetime
    state: str = "live"
    used: int = 0


@dataclass
class Model:
    as_of: datetime
    calls: list[datetime] = field(default_factory=list)
    """Since the last reset."""
    reservations: dict[str, Reservation] = field(default_factory=dict)
    trip: tuple[str, datetime] | None = None
    written_off: int = 0
    max_calls: int = 500
    max_tokens: int = 20_000_000
    own_calls: int | None = None
    own_tokens: int | None = None

    @property
    def calls_limit(self) -> int:
        return min(self.max_calls, self.own_calls or self.max_calls)

    @property
    def tokens_limit(self) -> int:
        return min(self.max_tokens, self.own_tokens or self.max_tokens)

    def counted_calls(self, at: datetime) -> int:
        """Of the minute and the sixty before it."""
        return sum(minute_of(at) - minute_of(call) <= 60 * MINUTE for call in self.calls)

    def _in_month(self) -> list[Reservation]:
        return [one for one in self.reservations.values() if month_of(one.made) == month_of(self.as_of)]

    @property
    def used(self) -> int:
        return sum(one.used for one in self._in_month())

    @property
    def reserved(self) -> int:
        return sum(one.tokens for one in self._in_month() if one.state == "live")

    def advance(self, now: datetime) -> None:
        now = max(now, self.as_of)
        if month_of(now) > month_of(self.as_of):
            self.written_off = 0
        self.as_of = now
        if self.trip is not None and self.trip[1] <= now:
            self.trip = None
        for one in self.reservations.values():
            if one.state == "live" and one.made + TTL <= now:
                one.state = "expired"

    @property
    def is_ceiling_reached(self) -> bool:
        return self.used - self.written_off >= self.tokens_limit * 0.95

    def fits_at(self, tokens: int) -> datetime:
        """When so many tokens fit, if nobody does anything until then."""
        room = self.tokens_limit - (self.used - self.written_off) - self.reserved
        end = self.as_of
        for one in sorted((one for one in self._in_month() if one.state == "live"), key=lambda one: one.made):
            if room >= tokens:
                break
            room, end = room + one.tokens, one.made + TTL
        return min(end, next_month(self.as_of)) if room >= tokens else next_month(self.as_of)

    def refusal(self, tokens: int) -> tuple[str, datetime] | None:
        """What pauses AI now that a call asks for so many tokens, and until when."""
        if self.fits_at(tokens) > self.as_of and self.is_ceiling_reached:
            return "ceiling", next_month(self.as_of)
        if self.counted_calls(self.as_of) + 1 > self.calls_limit:
            end = minute_of(self.as_of) + MINUTE
            while self.counted_calls(end) > self.calls_limit - math.ceil(self.calls_limit / 10):
                end += MINUTE
            return "velocity", end
        return None

    def limits_changed(self, *, calls: bool, tokens: bool) -> None:
        if self.trip is None:
            return
        cause, limit = self.trip[0], self.calls_limit
        is_free = {
            "ceiling": tokens and not self.is_ceiling_reached,
            "velocity": calls and self.counted_calls(self.as_of) <= limit - math.ceil(limit / 10),
        }
        if is_free[cause]:
            self.trip = None


class Quotas(RuleBasedStateMachine):
    connection: psycopg.Connection[tuple[Any, ...]]

    @initialize()
    def begin(self) -> None:
        """A tenant of its own, some days into next month: there are partitions for it and the two after."""
        self.name = f"model {next(_numbers)}"
        self.one("select tests.make_model(%s)", self.name)
        start = next_month(datetime.now(UTC)) + timedelta(days=9, hours=11, minutes=58, seconds=30)
        self.last_month = next_month(next_month(start))
        self.now = start
        self.model = Model(as_of=datetime.min.replace(tzinfo=UTC))
        self.set_clock()

    def one(self, query: str, *parameters: object) -> Any:
        row = self.connection.execute(query.encode(), parameters).fetchone()
        assert row is not None
        return row[0]

    def set_clock(self) -> None:
        self.one("select set_config('tests.clock', %s, false)", self.now.isoformat())

    def call(self, query: str, *parameters: object) -> Any:
        """In a context of the tenant's owner, as limena_app. Returns the SQLSTATE where it fails."""
        try:
            with self.connection.transaction():
                self.connection.execute("set local role limena_app")
                self.one("select tests.enter_model(%s)", self.name)
                return self.one(query, *parameters)
        except psycopg.Error as error:
            return error.sqlstate

    # Time

    @rule(seconds=st.one_of(st.floats(0.001, 90), st.floats(90, 4000), st.integers(-120, -1)))
    def time_passes(self, seconds: float) -> None:
        self.go_to(self.now + timedelta(seconds=seconds))

    @rule(minutes=st.sampled_from([1, 2, 10, 59, 60, 61, 62]), microseconds=st.sampled_from([-1, 0]))
    def a_minute_begins(self, minutes: int, microseconds: int) -> None:
        self.go_to(minute_of(self.now) + minutes * MINUTE + timedelta(microseconds=microseconds))

    @rule(microseconds=st.sampled_from([-1, 0, 300_000_000]))
    def a_month_begins(self, microseconds: int) -> None:
        self.go_to(next_month(self.now) + timedelta(microseconds=microseconds))

    def go_to(self, moment: datetime) -> None:
        if moment < self.last_month:
            self.now = moment
            self.set_clock()

    # Calls

    @rule(tokens=st.one_of(st.integers(1, 40), st.integers(1, 400)), times=st.integers(1, 3))
    def reserve(self, tokens: int, times: int) -> None:
        for _ in range(times):
            answer = self.call("select limena.reserve_ai_call('m', %s)", tokens)
            if self.model.as_of > self.now + MINUTE:
                assert answer == "LM006"
                continue
            if tokens > self.model.tokens_limit:
                assert answer == "22023"
                continue
            if self.model.trip is None or self.model.trip[1] <= self.now:
                self.model.advance(self.now)
                self.model.trip = self.model.refusal(tokens)
            if self.model.trip is not None:
                cause, end = self.model.trip
                assert answer["refused"]["code"] == f"ai_{cause}_exceeded", answer
                assert datetime.fromisoformat(answer["refused"]["notice"]["until"]) == end
                assert answer["refused"]["retry_after"] == math.ceil((end - self.now).total_seconds())
                continue
            if (end := self.model.fits_at(tokens)) > self.model.as_of:
                assert answer["refused"]["code"] == "ai_ceiling_exceeded", answer
                assert answer["refused"]["notice"] is None
                assert answer["refused"]["retry_after"] == max(1, math.ceil((end - self.now).total_seconds()))
                continue
            assert "refused" not in answer, answer
            self.model.calls.append(self.model.as_of)
            self.model.reservations[answer["id"]] = Reservation(tokens, self.model.as_of)
            # What is promised, said without minutes: of the last hour's calls there are no more than the limit.
            hour = sum(self.model.as_of - call < timedelta(hours=1) for call in self.model.calls)
            assert hour <= self.model.calls_limit
            assert self.model.used - self.model.written_off + self.model.reserved <= self.model.tokens_limit
            assert answer["remaining_calls"] == self.model.calls_limit - self.model.counted_calls(self.model.as_of)

    @precondition(lambda self: self.model.reservations)
    @rule(data=st.data(), used=st.one_of(st.integers(0, 40), st.integers(0, 900)))
    def settle(self, data: st.DataObject, used: int) -> None:
        name = data.draw(st.sampled_from(sorted(self.model.reservations)))
        before = copy.deepcopy(self.model)
        self.model.advance(self.now)
        one = self.model.reservations[name]
        answer = self.call("select limena.settle_ai_call(%s, %s, 0, 5)", UUID(name), used)
        if one.state == "settled" and one.used != used:
            assert answer == "LM002"
            self.model = before
            return
        one.state, one.used = "settled", used
        assert answer["prompt_tokens"] == used, answer

    @precondition(lambda self: self.model.reservations)
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.model.reservations)))
        before = copy.deepcopy(self.model)
        self.model.advance(self.now)
        one = self.model.reservations[name]
        answer = self.call("select limena.release_ai_call(%s)", UUID(name))
        if one.state == "settled":
            assert answer == "LM002"
            self.model = before
        elif one.state == "live":
            one.state = "released"

    @rule()
    def maintenance(self) -> None:
        self.connection.execute("select limena.expire_reservations(d) from limena.due_ai_quotas() as d")
        due = [one for one in self.model.reservations.values() if one.state == "live" and one.made + TTL <= self.now]
        is_over = self.model.trip is not None and self.model.trip[1] <= self.now
        is_past = self.model.as_of.year > 1 and month_of(self.model.as_of) < month_of(self.now)
        if due or is_over or is_past:
            self.model.advance(self.now)

    # Limits and trips

    @rule(calls=st.one_of(st.none(), st.integers(1, 12)), tokens=st.one_of(st.none(), st.integers(1, 1500)))
    def the_owner_sets_limits(self, calls: int | None, tokens: int | None) -> None:
        answer = self.call(
            "select limena.update_ai_settings(p_calls_per_hour => %s, p_tokens_per_month => %s)", calls, tokens
        )
        if (calls or 0) > self.model.max_calls or (tokens or 0) > self.model.max_tokens:
            assert answer == "22023"
            return
        self.model.advance(self.now)
        self.model.own_calls = calls or self.model.own_calls
        self.model.own_tokens = tokens or self.model.own_tokens
        if self.model.own_calls == self.model.max_calls:
            self.model.own_calls = None
        if self.model.own_tokens == self.model.max_tokens:
            self.model.own_tokens = None
        self.model.limits_changed(calls=calls is not None, tokens=tokens is not None)
        assert answer["calls"]["limit"] == self.model.calls_limit, answer

    @rule(calls=st.integers(1, 12), tokens=st.integers(1, 1500))
    def the_platform_sets_limits(self, calls: int, tokens: int) -> None:
        self.administer("p_calls_per_hour => %s, p_tokens_per_month => %s", calls, tokens)
        self.model.advance(self.now)
        self.model.max_calls, self.model.max_tokens = calls, tokens
        if self.model.own_calls == calls:
            self.model.own_calls = None
        if self.model.own_tokens == tokens:
            self.model.own_tokens = None
        self.model.limits_changed(calls=True, tokens=True)

    @rule()
    def the_owner_resets(self) -> None:
        before = copy.deepcopy(self.model)
        self.model.advance(self.now)
        answer = self.call("select limena.reset_ai_quota()")
        if self.model.trip is not None and self.model.trip[0] == "ceiling":
            assert answer == "42501"
            self.model = before
        elif self.model.trip is not None:
            self.model.trip, self.model.calls = None, []

    @rule()
    def the_platform_resets(self) -> None:
        self.administer("p_resets => true")
        self.model.advance(self.now)
        if self.model.trip is not None and self.model.trip[0] == "velocity":
            self.model.calls = []
        elif self.model.trip is not None:
            self.model.written_off = self.model.used
        self.model.trip = None

    def administer(self, arguments: str, *parameters: object) -> None:
        self.one(
            f"select limena_private.administer_ai(tests.tenant_id(%s), 'model', {arguments})", self.name, *parameters
        )

    # What has to be true all the time

    @invariant()
    def postgresql_counts_what_the_model_does(self) -> None:
        model = copy.deepcopy(self.model)
        model.advance(self.now)
        quota = self.call("select limena.get_ai_quota()")
        assert quota["tokens"]["used"] == model.used - model.written_off
        assert quota["tokens"]["reserved"] == model.reserved
        assert quota["calls"]["used"] == model.counted_calls(model.as_of)
        assert quota["calls"]["limit"] == model.calls_limit
        assert quota["tokens"]["limit"] == model.tokens_limit
        found = quota["trip"] and (quota["trip"]["cause"], datetime.fromisoformat(quota["trip"]["ends_at"]))
        assert found == model.trip

    @invariant()
    def counters_are_the_sum_of_the_detail(self) -> None:
        rows = self.connection.execute("select c.finding from limena.check_ai_quotas() as c").fetchall()
        assert [row[0] for row in rows if "yet to come" not in row[0]] == []

    def teardown(self) -> None:
        if hasattr(self, "name"):
            self.one("select tests.unmake_model(%s)", self.name)


_HELPERS = """
create or replace function limena.ai_clock() returns timestamptz language sql volatile as
$$ select current_setting('tests.clock')::timestamptz $$;
create function tests.make_model(p_name text) returns void language plpgsql as $$
begin
    insert into limena.tenants (id, name) values (tests.tenant_id(p_name), p_name);
    insert into limena.memberships (tenant_id, user_id, role)
    values (tests.tenant_id(p_name), tests.user_id('a', 'owner'), 'owner');
end $$;
create function tests.enter_model(p_name text) returns boolean language sql as
$$ select limena.enter_session(tests.session_hash('a', 'owner'), tests.tenant_id(p_name)) $$;
create function tests.unmake_model(p_name text) returns void language plpgsql as $$
begin
    delete from limena.ai_usage_days where tenant_id = tests.tenant_id(p_name);
    delete from limena.ai_usage_logs where tenant_id = tests.tenant_id(p_name);
    delete from limena.ai_reservations where tenant_id = tests.tenant_id(p_name);
    delete from limena.ai_quota_months where tenant_id = tests.tenant_id(p_name);
    delete from limena.ai_quotas where tenant_id = tests.tenant_id(p_name);
end $$;
"""


def test_quotas_against_the_model(fresh_database: Callable[[], Database], monkeypatch: pytest.MonkeyPatch) -> None:
    with fresh_database().connect() as connection:
        connection.execute(_HELPERS)
        connection.execute("select tests.make_tenants()")
        monkeypatch.setattr(Quotas, "connection", connection, raising=False)
        run_state_machine_as_test(
            Quotas,
            settings=settings(
                max_examples=30,
                stateful_step_count=30,
                deadline=None,
                database=None,
                suppress_health_check=list(HealthCheck),
            ),
        )
