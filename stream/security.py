"""How clients of Kafka are protected: TLS with names checked, SASL only inside it.

PLAINTEXT        only to this machine, unless `allow_plaintext` says that the network is ours
SSL              TLS; with a certificate of ours where the broker asks for one
SASL_SSL         TLS, and a login by SCRAM or PLAIN
SASL_PLAINTEXT   refused: the login could be read, or guessed at, on the way
"""

import ipaddress
import ssl
from pathlib import Path
from typing import Any

import msgspec
from aiokafka import errors
from aiokafka.conn import collect_hosts

from detectors.errors import ConfigError
from stream.config import KafkaConfig
from stream.secret import Secret

__all__ = ["PLAINTEXT", "Security", "is_loopback", "refusal", "security_of"]

_SASL_KEYS = ("sasl_username", "sasl_password", "sasl_password_file")
_TLS_KEYS = ("tls_ca_file", "tls_cert_file", "tls_key_file", "tls_key_password_file")


class Security(msgspec.Struct, frozen=True):
    """Hold what a client needs besides an address; its repr shows no password."""

    protocol: str = "PLAINTEXT"
    context: ssl.SSLContext | None = None
    mechanism: str | None = None
    username: str | None = None
    password: Secret = Secret()

    def options(self) -> dict[str, Any]:
        """Give the keyword arguments: aiokafka and kafka-python agree on the names."""
        options: dict[str, Any] = {"security_protocol": self.protocol}
        if self.context is not None:
            options["ssl_context"] = self.context
        if self.mechanism is not None:
            options["sasl_mechanism"] = self.mechanism
            options["sasl_plain_username"] = self.username
            options["sasl_plain_password"] = self.password.reveal()
        return options


PLAINTEXT = Security()


def is_loopback(host: str) -> bool:
    """Tell whether a host is this machine, by its name or address alone.

    >>> [is_loopback(host) for host in ("localhost", "127.0.0.9", "::1", "kafka", "10.0.0.1")]
    [True, True, True, False, False]
    """
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def security_of(kafka: KafkaConfig) -> Security:
    """Read the files that the configuration names, and make what clients need.

    Raises
    ------
    ConfigError
        If the settings contradict each other, protect too little, or a file cannot be used.
    """
    protocol = kafka.security_protocol
    if protocol == "SASL_PLAINTEXT":
        raise ConfigError(
            "kafka.security_protocol is SASL_PLAINTEXT, which would log in without TLS: "
            "set it to SASL_SSL."
        )
    _check_used(kafka, _TLS_KEYS, used=protocol != "PLAINTEXT")
    _check_used(kafka, _SASL_KEYS, used=protocol == "SASL_SSL")
    if protocol == "PLAINTEXT":
        _check_loopback(kafka)
        return PLAINTEXT
    if not kafka.bootstrap:
        raise ConfigError(
            f"kafka.security_protocol is {protocol}, but the local Kafka of this machine has no "
            "TLS: set kafka.bootstrap, or leave kafka.security_protocol out."
        )
    context = _context(kafka)
    if protocol == "SSL":
        return Security(protocol, context)
    return Security(protocol, context, kafka.sasl_mechanism, *_login(kafka))


def _check_used(kafka: KafkaConfig, keys: tuple[str, ...], *, used: bool) -> None:
    """Refuse keys that would do nothing: who has set them believes that they protect."""
    for key in keys:
        if getattr(kafka, key) and not used:
            raise ConfigError(
                f"kafka.{key} is set, but kafka.security_protocol is {kafka.security_protocol}, "
                f"which does not use it: set kafka.security_protocol to "
                f"{'SSL or SASL_SSL' if key in _TLS_KEYS else 'SASL_SSL'}, or leave the key out."
            )


def _check_loopback(kafka: KafkaConfig) -> None:
    """Refuse to send events over a network in the clear, unless told to."""
    hosts = collect_hosts(kafka.bootstrap, randomize=False) if kafka.bootstrap else []
    outside = [host for host, _, _ in hosts if not is_loopback(host)]
    if outside and not kafka.allow_plaintext:
        raise ConfigError(
            f"kafka.bootstrap names {outside[0]}, which is not this machine, and "
            "kafka.security_protocol is PLAINTEXT: set it to SSL or SASL_SSL, or set "
            "kafka.allow_plaintext = true where the network is yours alone."
        )


def _context(kafka: KafkaConfig) -> ssl.SSLContext:
    """Make a TLS context: at least 1.2, the broker's certificate and name checked."""
    if bool(kafka.tls_cert_file) != bool(kafka.tls_key_file):
        raise ConfigError("Set both of kafka.tls_cert_file and kafka.tls_key_file, or neither.")
    try:
        context = ssl.create_default_context(cafile=kafka.tls_ca_file or None)
    except (OSError, ssl.SSLError) as error:
        raise _unusable("tls_ca_file", kafka.tls_ca_file, error) from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if kafka.tls_cert_file:
        # An empty password is refused by OpenSSL; without this it would ask on the terminal.
        password = _secret_in(kafka, "tls_key_password_file") or Secret("\0")
        try:
            context.load_cert_chain(kafka.tls_cert_file, kafka.tls_key_file, password.reveal)
        except (OSError, ssl.SSLError) as error:
            raise _unusable("tls_cert_file", kafka.tls_cert_file, error) from error
    return context


def _login(kafka: KafkaConfig) -> tuple[str, Secret]:
    """Give user name and password."""
    if kafka.sasl_password and kafka.sasl_password_file:
        raise ConfigError("Set one of kafka.sasl_password and kafka.sasl_password_file, not both.")
    password = kafka.sasl_password or _secret_in(kafka, "sasl_password_file")
    if not kafka.sasl_username or not password:
        raise ConfigError(
            "kafka.security_protocol is SASL_SSL: set kafka.sasl_username, and the password by "
            "kafka.sasl_password_file or the variable DRIFTLINE_KAFKA_SASL_PASSWORD."
        )
    return kafka.sasl_username, password


def _secret_in(kafka: KafkaConfig, key: str) -> Secret:
    """Read a secret's file, without the line's end; none is an empty one."""
    if not (path := getattr(kafka, key)):
        return Secret()
    try:
        secret = Secret(Path(path).read_text(encoding="utf-8").rstrip("\r\n"))
    except OSError as error:
        raise _unusable(key, path, error) from error
    except UnicodeDecodeError:  # its message would show bytes of the secret
        raise ConfigError(f"kafka.{key} names {path}, which is not UTF-8.") from None
    if not secret:
        raise ConfigError(f"kafka.{key} names {path}, which is empty.")
    return secret


def _unusable(key: str, path: str, error: Exception) -> ConfigError:
    why = getattr(error, "reason", None) or getattr(error, "strerror", None) or type(error).__name__
    return ConfigError(f"kafka.{key} names {path}, which cannot be used: {why}.")


def refusal(error: BaseException, security: Security) -> str:
    """Say in a sentence why a broker will not have us, or "" if asking again may help."""
    if isinstance(error, ssl.SSLCertVerificationError):
        remedy = "set kafka.tls_ca_file to the CA that signed it"
        if "mismatch" in error.verify_message:
            remedy = "use a name that it holds in kafka.bootstrap"
        why = error.verify_message.rstrip(".")
        return f"its certificate is not accepted ({why}): {remedy}."
    if isinstance(error, ssl.SSLError):
        return f"TLS failed ({error.reason}): it may not speak TLS, or ask for a certificate."
    if isinstance(error, errors.UnsupportedSaslMechanismError):
        return f"it does not offer {security.mechanism}: change kafka.sasl_mechanism."
    if isinstance(error, errors.AuthenticationFailedError | errors.SaslAuthenticationFailed):
        return (
            f"it refused the login of {security.username} by {security.mechanism}: check "
            "kafka.sasl_username and the password."
        )
    return ""
