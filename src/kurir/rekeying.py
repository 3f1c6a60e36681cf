"""A new encryption key for a database on which no gateway works: ``kurir keys``.

The order makes it safe to be killed at any point, and run again. First the new key stands in the key file, in front of the
old ones: from then on everything can be read, whatever it is sealed with. Then the database says that it has the new key: a
gateway elsewhere that lacks it does not start. Then all values are sealed anew, in one transaction, each only where it still
is what was read. The old keys stay in the file until they are dropped: links to files, and backups, are of their time
(docs/decisions/0026).
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from kurir.configuration.declared import account_about, endpoint_about
from kurir.console import totp
from kurir.secretbox import (
    EncryptionKeyError,
    KeyFile,
    KeySource,
    SealError,
    SecretBox,
    encode_key,
    key_id_of,
    new_key,
    read_key_file,
    write_key_file,
)
from kurir.store import GatewayStore
from kurir.store.sealed import Sealed, SealedKind


class NotPossible(Exception):
    """The key cannot be changed so; the sentence says why and what to do."""


@dataclass(frozen=True, slots=True)
class Rotated:
    """What was done. ``began`` is false where a rotation was ended that had been begun before.

    ``unread``: values of rows that no key opens, left as they are.
    """

    key_id: str
    began: bool
    sealed: int
    unread: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Standing:
    """How many values each key seals, by the ids of the keys that are here; and of keys that are not."""

    values: Mapping[str, int]
    strange: Mapping[str, int]


def about(sealed: Sealed) -> str:
    """Return what a value is bound to."""
    match sealed.kind:
        case SealedKind.ACCOUNT:
            return account_about(sealed.client_id, sealed.id)
        case SealedKind.ENDPOINT:
            return endpoint_about(sealed.client_id, sealed.url)
        case SealedKind.USER:
            return totp.about(sealed.id)


def keys_of(source: KeySource) -> tuple[bytes, ...]:
    """Return the keys, the newest first. Raises EncryptionKeyError where there is none."""
    keys = read_key_file(source.path) if isinstance(source, KeyFile) else source.keys
    if not keys:
        assert isinstance(source, KeyFile)  # noqa: S101 - narrows the type: a value is never empty
        raise EncryptionKeyError(
            f"There is no key file at {source.path}: a gateway that starts on a new database makes it."
        )
    return keys


async def standing(source: KeySource, store: GatewayStore) -> Standing:
    """Return how many values each key seals."""
    ids = [SecretBox([key]).key_id for key in keys_of(source)]
    counted = Counter(key_id_of(one.value) for one in await store.sealed_values())
    return Standing({one: counted[one] for one in ids}, {one: many for one, many in counted.items() if one not in ids})


async def rotate(source: KeySource, store: GatewayStore) -> Rotated:
    """Put a new key in front and seal everything with it; or end what an earlier run began. Durable on return.

    *store* is open, and no gateway works on it. Raises EncryptionKeyError, NotPossible, OSError and the store's errors.
    """
    keys = keys_of(source)
    box = SecretBox(keys)
    # Whether these keys are the database's at all, before a new one is put among them.
    values = await store.sealed_values()
    checked = await box.is_checked(store)
    if not checked:
        await box.check(store)
    openable = [one for one in values if not box.is_current(one.value) and _opens(box, one)]
    begins = checked and not openable
    if begins:
        box = SecretBox((_put_in_front(source), *keys))
        await box.check(store)
    sealed, unread = await _seal_anew(box, store)
    return Rotated(box.key_id, begins, sealed, unread)


async def drop_old(source: KeySource, store: GatewayStore) -> tuple[str, ...]:
    """Leave the first key alone in the key file, where nothing needs the others; return the ids of those that went.

    Raises NotPossible where a value needs one of them, EncryptionKeyError and OSError.
    """
    keys = keys_of(source)
    box = SecretBox(keys)
    needed = [one for one in await store.sealed_values() if not box.is_current(one.value) and _opens(box, one)]
    if needed or not await box.is_checked(store):
        raise NotPossible(
            f"{len(needed)} values are sealed with an older key: run «kurir keys rotate» first, which ends that"
        )
    if not isinstance(source, KeyFile):
        if len(keys) > 1:
            raise NotPossible(_not_a_file("leave out all but the first, and restart"))
        return ()
    if len(keys) > 1:
        write_key_file(source.path, encode_key(keys[0]) + "\n")
    return tuple(SecretBox([key]).key_id for key in keys[1:])


def _put_in_front(source: KeySource) -> bytes:
    if not isinstance(source, KeyFile):
        raise NotPossible(_not_a_file("put a new key in front of it, with a comma between, and run this again"))
    key = new_key()
    write_key_file(source.path, f"{encode_key(key)}\n{source.path.read_text('utf-8')}")
    return key


def _not_a_file(fix: str) -> str:
    return (
        f"encryption_key is no file, which alone could be written here: {fix} (`openssl rand -base64 32` prints a key)"
    )


async def _seal_anew(box: SecretBox, store: GatewayStore) -> tuple[int, tuple[str, ...]]:
    """Seal with the first key whatever is not; return how many values that were, and of which rows none opens."""
    changes: list[tuple[Sealed, bytes]] = []
    unread: list[str] = []
    for one in await store.sealed_values():
        if box.is_current(one.value):
            continue
        try:
            changes.append((one, box.seal(box.open(one.value, about=about(one)), about=about(one))))
        except SealError:
            unread.append(f"{one.kind.value} {one.id}")
    done = await store.replace_sealed(changes) if changes else 0
    if done != len(changes):
        raise NotPossible("somebody changed accounts or endpoints meanwhile: stop every gateway, and run this again")
    return done, tuple(unread)


def _opens(box: SecretBox, one: Sealed) -> bool:
    try:
        box.open(one.value, about=about(one))
    except SealError:
        return False
    return True


def names(unread: Sequence[str]) -> str:
    """Return rows for a sentence."""
    return ", ".join(unread[:10]) + (f" and {len(unread) - 10} more" if len(unread) > 10 else "")
