"""Consecutive commands for one server travel as one slice, and its reads share a reader as far as freshness allows."""

from __future__ import annotations

from tests.dataplane.kit import World, command

A, B, C = (command("GET", key) for key in "abc")
SET_A, SET_B = command("SET", "a", "1"), command("SET", "b", "1")


def fresh() -> World:
    world = World(consistency="fresh")
    world.prove()
    return world


def test_reads_of_one_piece_go_to_one_reader_in_one_write() -> None:
    world = fresh()
    world.client().send(A + B + C)
    assert world.open(1).take() == A + B + C


def test_a_read_that_the_common_reader_may_not_answer_goes_to_one_that_may() -> None:
    world = fresh()
    world.client().send(SET_B)
    world.open(0).send(b"+OK\r\n")
    world.prove(2)
    world.client().send(A + B)
    assert world.open(1).take() == A
    assert world.open(2).take() == B


def test_writes_of_one_piece_are_one_run_with_all_their_slots() -> None:
    world = fresh()
    client = world.client()
    client.send(SET_A + SET_B)
    leader = world.open(0)
    assert leader.take() == SET_A + SET_B
    pending = leader.protocol.fifo_now()[0]
    assert (pending.count, len(pending.slots)) == (2, 2)


def test_a_write_ends_the_run_of_reads_and_its_stamp_counts_for_the_next_read() -> None:
    world = fresh()
    world.client().send(B + SET_A + A + C)
    assert world.open(1).take() == B + C
    assert world.open(0).take() == SET_A + A


def test_replies_come_in_the_clients_order_whoever_answers_first() -> None:
    world = fresh()
    client = world.client()
    client.send(B + SET_A + A + C)
    replica, leader = world.open(1), world.open(0)
    leader.send(b"+OK\r\n+a\r\n")
    assert client.take() == b""
    replica.send(b"+b\r\n+c\r\n")
    assert client.take() == b"+b\r\n+OK\r\n+a\r\n+c\r\n"
