"""Proving to a host who the user is: by the keys of an agent and of files, with certificates.

A host that takes "keyboard-interactive", but asks nothing, may be asking a person's telephone: that
is waited for. What it asks in words nobody answers here.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator

import paramiko
from paramiko.pkey import PublicBlob
from paramiko.ssh_exception import AuthenticationException, BadAuthenticationType

from .._deadline import Deadline
from .._user_config.settings import HostSettings
from .agent import Agent, AgentKey
from .known_hosts import fingerprint
from .private_keys import Unusable, certificates_of, private_keys, public_blob

_BY_QUESTIONS = "keyboard-interactive"
_CONFIRMED_S = 120.0  # a person may have to find a telephone
_ASKED = 200  # characters of a question that are quoted


class AuthenticationRefused(Exception):
    """The host does not let the user in.

    Attributes:
        tried: a line for each key: what became of it.
        hint: what the user can do.
        takes_questions: whether the host may let the user in by questions and answers.
    """

    takes_questions = False

    def __init__(self, message: str, tried: list[str], hint: str) -> None:
        super().__init__(message)
        self.tried = tried
        self.hint = hint


def authenticate(
    transport: paramiko.Transport, settings: HostSettings, deadline: Deadline
) -> list[str]:
    """Try one key after the other, as OpenSSH's client would; return what became of them.

    First those of the agent that the configuration names, then its others, then those of files.
    Raises AuthenticationRefused, or TimeoutError.
    """
    keys = _Keys(settings, deadline)
    try:
        for name, key in keys.candidates():
            deadline.check()
            transport.auth_timeout = deadline.left_s()
            outcome = _try(transport, settings, key, keys.tried, deadline)
            keys.tried.append(f"{name}: {outcome or 'accepted'}")
            if not outcome:
                return keys.tried
        refusal = _refused(transport, settings, keys.tried)
        if not refusal.takes_questions:
            raise refusal
        _log_in_by_questions(transport, settings, keys.tried, deadline)
        return keys.tried
    finally:
        keys.close()


def _try(
    transport: paramiko.Transport,
    settings: HostSettings,
    key: paramiko.PKey,
    tried: list[str],
    deadline: Deadline,
) -> str:
    """Try a key; return why it was not taken, "" if it was."""
    try:
        further = transport.auth_publickey(settings.user, key)
    except BadAuthenticationType as problem:
        if _BY_QUESTIONS in problem.allowed_types:
            return "not wanted"
        raise AuthenticationRefused(
            "it does not let anybody in by a key", tried, _other_ways(problem.allowed_types)
        ) from problem
    except (paramiko.SSHException, EOFError) as problem:
        if transport.is_active() and isinstance(problem, AuthenticationException):
            return str(problem) if "timeout" in str(problem) else "refused"
        raise AuthenticationRefused(
            f"it hung up while keys were tried: {problem}",
            tried,
            "If the agent holds many keys, name the right one in ~/.ssh/config: IdentityFile, "
            "with IdentitiesOnly yes",
        ) from problem
    except OSError as problem:  # the agent's
        return f"can't be used: {problem}"
    if _BY_QUESTIONS in further:
        _log_in_by_questions(transport, settings, tried, deadline)
    elif further:
        raise AuthenticationRefused(
            "it took the key, but asks for more", tried, _other_ways(list(further))
        )
    return ""


class _Asked(Exception):
    """The host wants an answer that only a person can give."""


def _log_in_by_questions(
    transport: paramiko.Transport, settings: HostSettings, tried: list[str], deadline: Deadline
) -> None:
    """Log in without an answer to anything. Raises AuthenticationRefused."""
    asked: list[str] = []

    def answer(title: str, instructions: str, prompts: list[tuple[str, bool]]) -> list[str]:
        asked.extend(repr(prompt[:_ASKED]) for prompt, _ in prompts)
        if asked:
            raise _Asked
        return []

    transport.auth_timeout = _CONFIRMED_S
    try:
        with deadline.paused():
            transport.auth_interactive(settings.user, answer)
    except (_Asked, paramiko.SSHException, EOFError, OSError) as problem:
        hint = (
            "Nobody is asked here. Connect to it by hand, with ControlMaster and ControlPath in "
            '~/.ssh/config, and let the script use that connection: client="openssh"'
        )
        what = f"it asks {', '.join(asked)}" if asked else f"it lets nobody in so: {problem}"
        raise AuthenticationRefused(what, tried, hint) from problem
    tried.append(f"{_BY_QUESTIONS}: accepted, without a question")


def _refused(
    transport: paramiko.Transport, settings: HostSettings, tried: list[str]
) -> AuthenticationRefused:
    hint = (
        "Make the key known there (ssh-copy-id), or name another by IdentityFile in ~/.ssh/config"
    )
    if not any(line.endswith("refused") for line in tried):
        hint = (
            "There was no key to try: make one (ssh-keygen), and make it known there (ssh-copy-id)"
        )
        if any("encrypted" in line for line in tried):
            hint = "Decrypt the key into an agent (ssh-add) before the script is started"
    try:
        transport.auth_none(settings.user)
    except BadAuthenticationType as problem:
        ways = [way for way in problem.allowed_types if way != "publickey"]
        hint += ". " + _other_ways(ways) if ways else ""
    except (paramiko.SSHException, EOFError, OSError):
        ways = []
    refusal = AuthenticationRefused("it does not let the user in", tried, hint)
    refusal.takes_questions = _BY_QUESTIONS in ways
    return refusal


def _other_ways(ways: list[str]) -> str:
    return f"The host also takes {', '.join(ways)}, which can't be used here: nobody is asked"


class _Keys:
    """The keys that may open a host, in the order to try them."""

    def __init__(self, settings: HostSettings, deadline: Deadline) -> None:
        self.tried: list[str] = []
        self._settings = settings
        self._deadline = deadline
        self._agent: Agent | None = None

    def candidates(self) -> Iterator[tuple[str, paramiko.PKey]]:
        """Yield each key with a name for people; note in ``tried`` why a key is left out."""
        settings = self._settings
        blobs = {path: public_blob(path) for path in settings.identities}
        in_agent = self._keys_of_agent()
        named = [key for path in blobs for key in in_agent if _is_of(key, blobs[path])]
        first = {key.blob for key in named}
        others = [key for key in in_agent if key.blob not in first]
        for agent_key in named if settings.identities_only else [*named, *others]:
            name = f"agent: {agent_key.comment} {fingerprint(agent_key.blob)}"
            path = next((p for p in blobs if _is_of(agent_key, blobs[p])), "")
            yield from self._with_certificates(name, agent_key, path, agent_key.blob)
        held = {key.blob for key in in_agent}
        for path, blob in blobs.items():
            if blob is None or blob not in held:
                yield from self._of_file(path, blob)

    def _keys_of_agent(self) -> list[AgentKey]:
        if not self._settings.agent:
            return []
        try:
            self._agent = Agent(self._settings.agent, self._deadline.left_s())
            return self._agent.keys()
        except (OSError, paramiko.SSHException) as problem:
            self.tried.append(f"agent {self._settings.agent}: can't be used: {problem}")
            return []

    def _of_file(self, path: str, blob: bytes | None) -> Iterator[tuple[str, paramiko.PKey]]:
        try:
            key = private_keys.load(path, self._deadline)
        except FileNotFoundError:
            self.tried.append(f"{path}: not there")
        except Unusable as problem:
            self.tried.append(f"{path}: {problem}")
        else:
            yield from self._with_certificates(path, key, path, blob or key.asbytes())

    def _with_certificates(
        self, name: str, key: paramiko.PKey, path: str, blob: bytes
    ) -> Iterator[tuple[str, paramiko.PKey]]:
        for certificate in certificates_of(path, blob, self._settings.certificates):
            yield f"{name} with a certificate", _certified(key, certificate)
        yield name, key

    def close(self) -> None:
        """Hang up on the agent."""
        if self._agent is not None:
            self._agent.close()


def _is_of(key: AgentKey, blob: bytes | None) -> bool:
    return blob is not None and key.blob == blob


def _certified(key: paramiko.PKey, certificate: PublicBlob) -> paramiko.PKey:
    certified = copy.copy(key)
    certified.public_blob = certificate
    return certified
