"""Sealed values: what was sealed is opened again, anything else is refused, and nothing shows a key."""

from __future__ import annotations

import copy
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mission_control_desktop.domain.errors import Unavailable
from mission_control_desktop.storage.sealing import HEADER_BYTES, TAG_BYTES, MasterKey, Sealer, key_id_of

KEYS = [MasterKey(bytes([number]) * 32) for number in range(4)]
SEALER = Sealer(KEYS[:1])
plains = st.binary(max_size=300)
places = st.text(max_size=40)


@given(plains, places)
def test_what_was_sealed_is_opened(plain: bytes, place: str) -> None:
    sealed = SEALER.seal(plain, place=place)
    assert SEALER.open(sealed, place=place) == plain
    assert len(sealed) == HEADER_BYTES + len(plain) + TAG_BYTES
    assert key_id_of(sealed) == KEYS[0].id == SEALER.key_id
    if len(plain) >= 4:
        assert plain not in sealed


@given(plains, places, st.data())
def test_one_changed_bit_is_refused(plain: bytes, place: str, data: st.DataObject) -> None:
    sealed = bytearray(SEALER.seal(plain, place=place))
    bit = data.draw(st.integers(0, len(sealed) * 8 - 1))
    sealed[bit // 8] ^= 1 << bit % 8
    with pytest.raises(Unavailable) as refused:
        SEALER.open(bytes(sealed), place=place)
    in_key_id = 1 <= bit // 8 < 9
    assert refused.value.details["sealed"] == ("unknownKey" if in_key_id else "damaged")


@given(plains, places, st.data())
def test_what_was_cut_off_or_made_longer_is_refused(plain: bytes, place: str, data: st.DataObject) -> None:
    sealed = SEALER.seal(plain, place=place)
    shorter = sealed[: data.draw(st.integers(0, len(sealed) - 1))]
    for other in (shorter, sealed + data.draw(st.binary(min_size=1, max_size=40))):
        with pytest.raises(Unavailable) as refused:
            SEALER.open(other, place=place)
        assert refused.value.details["sealed"] == "damaged"


@given(st.binary(max_size=120))
def test_what_was_never_sealed_is_refused(garbage: bytes) -> None:
    with pytest.raises(Unavailable):
        SEALER.open(garbage, place="a/1/b")


@given(plains, places, places)
def test_a_value_opens_in_its_place_alone(plain: bytes, place: str, other: str) -> None:
    sealed = SEALER.seal(plain, place=place)
    if place != other:
        with pytest.raises(Unavailable, match="changed, cut off or moved"):
            SEALER.open(sealed, place=other)


def test_a_nonce_is_never_used_twice() -> None:
    nonces = {SEALER.seal(b"", place="")[9:HEADER_BYTES] for _ in range(20_000)}
    assert len(nonces) == 20_000


@given(st.lists(st.tuples(plains, places), max_size=6), st.lists(st.integers(0, 3), min_size=1, max_size=5))
def test_rotations_keep_everything_readable(values: list[tuple[bytes, str]], currents: list[int]) -> None:
    sealer = Sealer(KEYS[:1])
    stored = [(sealer.seal(plain, place=place), place) for plain, place in values]
    for current in currents:
        sealer.use([KEYS[current], *KEYS])
        stored = [(sealer.renew(sealed, place=place), place) for sealed, place in stored]
        assert {key_id_of(sealed) for sealed, _ in stored} <= {KEYS[current].id}
    last = Sealer([KEYS[currents[-1]]])
    assert [(last.open(sealed, place=place), place) for sealed, place in stored] == values


def test_renewing_what_is_current_changes_nothing() -> None:
    sealed = SEALER.seal(b"x", place="p")
    assert SEALER.renew(sealed, place="p") is sealed


def test_a_key_that_is_not_known_is_named_with_the_way_out() -> None:
    sealed = Sealer(KEYS[1:2]).seal(b"x", place="launch_profiles/a/sealed_env")
    with pytest.raises(Unavailable, match="MISSION_CONTROL_MASTER_KEY_PREVIOUS") as refused:
        SEALER.open(sealed, place="launch_profiles/a/sealed_env")
    assert KEYS[1].id in refused.value.message
    assert refused.value.details == {"sealed": "unknownKey", "keyId": KEYS[1].id}


def test_a_key_that_is_not_known_is_looked_for_again_and_not_on_every_call() -> None:
    asked: list[int] = []

    def reload() -> list[MasterKey]:
        asked.append(1)
        return [KEYS[1], KEYS[0]]

    sealer = Sealer(KEYS[:1], reload=reload)
    sealed = Sealer(KEYS[1:2]).seal(b"x", place="p")
    assert sealer.open(sealed, place="p") == b"x"
    assert sealer.key_ids == (KEYS[1].id, KEYS[0].id)
    for _ in range(5):
        with pytest.raises(Unavailable):
            sealer.open(Sealer(KEYS[2:3]).seal(b"x", place="p"), place="p")
    assert len(asked) == 1


def test_keys_that_cannot_be_read_again_are_kept() -> None:
    def reload() -> list[MasterKey]:
        raise Unavailable("The keyring is locked.")

    sealer = Sealer(KEYS[:1], reload=reload)
    with pytest.raises(Unavailable, match=KEYS[1].id):
        sealer.open(Sealer(KEYS[1:2]).seal(b"x", place="p"), place="p")
    assert sealer.key_id == KEYS[0].id


def test_a_new_current_key_is_taken_before_anything_is_sealed_or_authenticated() -> None:
    source: list[tuple[MasterKey, ...]] = [tuple(KEYS[:1])]
    loads: list[str] = []

    def reload() -> tuple[MasterKey, ...]:
        loads.append(source[0][0].id)
        return source[0]

    sealer = Sealer(KEYS[:1], reload=reload, named=lambda: source[0][0].id)
    for current in (0, 1, 2, 0):  # one after the other: no pause between rotations hides a key
        source[0] = (KEYS[current], *KEYS)
        assert key_id_of(sealer.seal(b"x", place="p")) == KEYS[current].id
        assert sealer.mac("p", b"x")[0] == KEYS[current].id
    assert loads == [KEYS[1].id, KEYS[2].id, KEYS[0].id]


def test_a_new_current_key_that_is_not_to_be_had_is_said_and_the_old_one_seals_nothing_more() -> None:
    asked: list[int] = []

    def reload() -> tuple[MasterKey, ...]:
        asked.append(1)
        raise Unavailable("The keyring is locked.")

    sealer = Sealer(KEYS[:1], reload=reload, named=lambda: KEYS[1].id)
    for act in (lambda: sealer.seal(b"x", place="p"), lambda: sealer.mac("p", b"x"), sealer.follow):
        with pytest.raises(Unavailable, match="Unlock the keyring") as refused:
            act()
        assert refused.value.details["keyId"] == KEYS[1].id
    assert asked == [1], "it is not asked again at once"
    assert sealer.open(SEALER.seal(b"x", place="p"), place="p") == b"x"


def test_a_source_that_names_no_key_changes_nothing() -> None:
    sealer = Sealer(KEYS[:1], reload=lambda: KEYS[1:2], named=lambda: None)
    assert sealer.mac("p", b"x")[0] == KEYS[0].id


def test_without_a_key_everything_says_what_to_do() -> None:
    sealer = Sealer(problem="Unlock the keyring.")
    for call in (
        lambda: sealer.seal(b"x", place="p"),
        lambda: sealer.open(SEALER.seal(b"x", place="p"), place="p"),
        lambda: sealer.mac("p", b"x"),
        lambda: sealer.check_mac("p", b"x", KEYS[0].id, bytes(32)),
    ):
        with pytest.raises(Unavailable, match="Unlock the keyring"):
            call()
    assert sealer.key_id is None


@given(st.text(max_size=20), plains, st.text(max_size=20), plains)
def test_a_code_is_for_its_data_its_purpose_and_its_key(purpose: str, data: bytes, other: str, more: bytes) -> None:
    key_id, mac = SEALER.mac(purpose, data)
    assert SEALER.check_mac(purpose, data, key_id, mac)
    assert SEALER.check_mac(other, more, key_id, mac) == ((purpose, data) == (other, more))
    assert not SEALER.check_mac(purpose, data, key_id, mac[:-1])
    assert Sealer(KEYS[1:2]).mac(purpose, data)[1] != mac
    with pytest.raises(Unavailable):
        SEALER.check_mac(purpose, data, KEYS[1].id, mac)


@pytest.mark.parametrize("made", [KEYS[1], Sealer(KEYS[1:])])
def test_nothing_shows_a_key(made: object) -> None:
    raw = KEYS[1].reveal()
    for shown in (repr(made), str(made), f"{made}", f"{made!r}"):
        assert raw.hex() not in shown
        assert repr(raw)[2:-1] not in shown
    assert not hasattr(made, "__dict__")
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        with pytest.raises(TypeError):
            pickle.dumps(made, protocol)
    for copied in (copy.copy, copy.deepcopy):
        with pytest.raises(TypeError):
            copied(made)


def test_a_key_of_another_length_is_refused_without_being_shown() -> None:
    with pytest.raises(ValueError, match="32 bytes") as refused:
        MasterKey(b"secretsecret")
    assert "secretsecret" not in str(refused.value)
