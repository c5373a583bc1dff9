"""A password enters, its salted hash leaves (scrypt; Percival 2009); needed only where others than this machine may review."""

import hashlib
import hmac
import json
import os
import secrets
import tempfile
import unicodedata
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from signloop.core.errors import DataError
from signloop.core.files import read_json, sync_folder

SHORTEST, LONGEST = 10, 200  # characters
SALT, HASH = 16, 32  # bytes


class Password(BaseModel):
    """What is kept of a password; `version` 1 is scrypt with n = 2^15, r = 8, p = 3, which takes 32 MiB for a guess."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    version: Literal[1]
    salt: Annotated[str, Field(pattern=rf"^[0-9a-f]{{{2 * SALT}}}$")]
    scrypt: Annotated[str, Field(pattern=rf"^[0-9a-f]{{{2 * HASH}}}$")]

    def fits(self, given: str) -> bool:
        """Tell whether it is this password; takes as long for a wrong one."""
        return hmac.compare_digest(_hash(given, bytes.fromhex(self.salt)), bytes.fromhex(self.scrypt))


def _hash(password: str, salt: bytes) -> bytes:
    """Hash what was typed; the same letter is the same, however a keyboard composes it."""
    typed = unicodedata.normalize("NFC", password).encode("utf-8", "surrogatepass")
    return hashlib.scrypt(typed, salt=salt, n=2**15, r=8, p=3, maxmem=2**26, dklen=HASH)


def set_password(path: Path, password: str) -> None:
    """Keep the hash of a password in a file that is whole, and readable by its owner only, from the first byte on.

    Raises:
        DataError: it is too short or too long; nothing was changed.
    """
    if not SHORTEST <= len(password) <= LONGEST:
        raise DataError(
            f"the password is too {'short' if len(password) < SHORTEST else 'long'}",
            expected=f"{SHORTEST} to {LONGEST} characters",
            found=len(password),
        )
    salt = secrets.token_bytes(SALT)
    kept = Password(version=1, salt=salt.hex(), scrypt=_hash(password, salt).hex())
    _write_for_owner(path, json.dumps(kept.model_dump(), indent=1).encode() + b"\n")


def _write_for_owner(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.stem}.", dir=path.parent)  # made with mode 0600, and stays so
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(handle)
        temporary.replace(path)
        sync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def read_password(path: Path) -> Password:
    """Read what is kept of the password.

    Raises:
        DataError: none was set, or the file is damaged.
    """
    try:
        return Password.model_validate(read_json(path))
    except ValidationError as error:
        raise DataError(
            "the file with the password's hash is damaged", where=path, todo="Set the password anew: `signloop review-password`."
        ) from error
