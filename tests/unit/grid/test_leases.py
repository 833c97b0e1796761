from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from fscache.grid.leases import ALL, Grant, LeaseBook


def test_servers_are_handed_out_in_the_order_in_which_they_were_freed() -> None:
    book = LeaseBook()
    book.add("a")
    book.add("b")
    assert book.ask("1") == [Grant("1", ["a"])]
    assert book.ask("2") == [Grant("2", ["b"])]
    book.release("2")
    book.release("1")
    assert book.ask("3") == [Grant("3", ["b"])]


def test_who_asked_first_is_served_first() -> None:
    book = LeaseBook()
    book.add("a")
    book.ask("1")
    assert book.ask("2") == []
    assert book.ask("3") == []
    assert book.release("1") == [Grant("2", ["a"])]
    assert book.release("2") == [Grant("3", ["a"])]


def test_two_who_want_all_servers_do_not_each_hold_half() -> None:
    book = LeaseBook()
    for server in "ab":
        book.add(server)
    book.ask("one")
    assert book.ask("all", ALL) == []
    assert book.ask("late") == []  # strictly in turn, though a server is free
    assert book.release("one") == [Grant("all", ["b", "a"])]
    assert book.release("all", "b") == [Grant("late", ["b"])]


def test_all_means_those_that_are_left_when_a_server_dies() -> None:
    book = LeaseBook()
    book.add("a")
    book.add("b")
    book.ask("one")
    book.ask("all", ALL)
    assert book.remove("a") == [Grant("all", ["b"])]


def test_a_server_that_is_released_twice_is_free_once() -> None:
    book = LeaseBook()
    book.add("a")
    book.ask("1")
    book.release("1")
    book.release("1")
    assert book.ask("2") == [Grant("2", ["a"])]
    assert book.ask("3") == []


def test_a_dead_server_is_never_handed_out() -> None:
    book = LeaseBook()
    book.add("a")
    book.remove("a")
    assert book.ask("1") == []
    book.release("1", "a")
    assert book.waiting == ["1"]


def test_who_withdraws_lets_the_next_one_through() -> None:
    book = LeaseBook()
    book.add("a")
    book.ask("1")
    book.ask("all", ALL)
    book.ask("2")
    book.withdraw("all")
    assert book.release("1") == [Grant("2", ["a"])]


def test_who_is_moved_goes_before_those_who_wait() -> None:
    book = LeaseBook()
    book.add("a")
    book.ask("1")
    book.ask("2")
    book.ask("moved", first=True)
    assert book.release("1") == [Grant("moved", ["a"])]


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["add", "remove", "ask", "all", "release", "withdraw"]),
            st.integers(0, 4),
        )
    )
)
def test_no_server_has_two_holders_and_nobody_waits_for_a_free_one(steps: list[tuple]) -> None:
    book = LeaseBook()
    holders: dict[str, str] = {}
    tickets = 0
    for what, number in steps:
        server = f"s{number}"
        if what == "add":
            grants = book.add(server)
        elif what == "remove":
            holders.pop(server, None)
            grants = book.remove(server)
        elif what == "release":
            ticket = f"t{number}"
            holders = {key: holder for key, holder in holders.items() if holder != ticket}
            grants = book.release(ticket)
        elif what == "withdraw":
            grants = book.withdraw(f"t{number}")
        else:
            tickets += 1
            grants = book.ask(f"t{tickets}", ALL if what == "all" else 1)
        for grant in grants:
            for server in grant.servers:
                assert server not in holders
                holders[server] = grant.ticket
        assert {server: book.holder(server) for server in holders} == holders
        if book.waiting and book.servers:
            assert holders, "everything is free, and somebody waits"
