"""The way to Kafka is refused where it is protected too little; a secret is never shown."""

import copy
import json
import pickle
import ssl
import traceback
from pathlib import Path

import msgspec
import orjson
import pytest
import trustme

from detectors.errors import ConfigError
from driftline import Emitter, cli
from stream.config import Config, KafkaConfig
from stream.config_file import load_config
from stream.secret import Secret, redact
from stream.security import PLAINTEXT, Security, security_of

PASSWORD = 'canary"\\pässword'


@pytest.fixture
def ca_file(tmp_path: Path) -> str:
    path = tmp_path / "ca.pem"
    trustme.CA().cert_pem.write_to_path(path)
    return str(path)


def sasl(ca_file: str, **more: object) -> KafkaConfig:
    fields = {"bootstrap": "kafka:9093", "security_protocol": "SASL_SSL", "tls_ca_file": ca_file}
    return KafkaConfig(**fields | {"sasl_username": "me", "sasl_password": Secret(PASSWORD)} | more)


@pytest.mark.parametrize(
    "bootstrap", ["", "localhost:9092", "127.0.0.1:1,[::1]:2", "127.9.9.9:1", "localhost"]
)
def test_without_tls_this_machine_is_reached(bootstrap: str) -> None:
    assert security_of(KafkaConfig(bootstrap=bootstrap)) is PLAINTEXT


@pytest.mark.parametrize(
    "bootstrap",
    ["kafka:9092", "kafka", "10.0.0.1:9092", "localhost:1,kafka:2", "[fe80::1]:9092",
     "127.0.0.1.example.com:9092", "0.0.0.0:9092", "localhost.example.com"],
)  # fmt: skip
def test_without_tls_no_other_machine_is_reached_unless_it_is_said(bootstrap: str) -> None:
    with pytest.raises(ConfigError, match="set it to SSL or SASL_SSL, or set "):
        security_of(KafkaConfig(bootstrap=bootstrap))
    assert security_of(KafkaConfig(bootstrap=bootstrap, allow_plaintext=True)) is PLAINTEXT


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"security_protocol": "SASL_PLAINTEXT", "bootstrap": "localhost:1"}, "without TLS: set"),
        ({"security_protocol": "SASL_PLAINTEXT", "allow_plaintext": True}, "set it to SASL_SSL"),
        ({"sasl_username": "me"}, "kafka.sasl_username is set, but kafka.security_protocol is PL"),
        ({"sasl_password": Secret("x")}, "kafka.sasl_password is set, but"),
        ({"tls_ca_file": "ca.pem"}, "kafka.tls_ca_file is set, but kafka.security_protocol is PL"),
        ({"security_protocol": "SSL", "bootstrap": "k:1", "sasl_username": "me"}, "to SASL_SSL"),
        ({"security_protocol": "SSL"}, "local Kafka of this machine has no TLS"),
        ({"security_protocol": "SSL", "bootstrap": "k:1", "tls_cert_file": "c"}, "Set both of"),
        ({"security_protocol": "SSL", "bootstrap": "k:1", "tls_ca_file": "none.pem"}, "none.pem"),
    ],
)  # fmt: skip
def test_settings_that_protect_too_little_are_refused_with_what_to_set(
    fields: dict[str, object], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        security_of(KafkaConfig(**fields))


def test_a_login_needs_a_name_and_one_password(ca_file: str, tmp_path: Path) -> None:
    for missing in ({"sasl_username": ""}, {"sasl_password": Secret()}):
        with pytest.raises(ConfigError, match=r"set kafka\.sasl_username, and the password by"):
            security_of(sasl(ca_file, **missing))
    path = tmp_path / "password"
    path.write_text(f"{PASSWORD}\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"one of kafka\.sasl_password and .*_file, not both"):
        security_of(sasl(ca_file, sasl_password_file=str(path)))
    from_file = security_of(sasl(ca_file, sasl_password=Secret(), sasl_password_file=str(path)))
    assert from_file.password == security_of(sasl(ca_file)).password == Secret(PASSWORD)
    for content, message in ((b"\n", "which is empty"), (b"\xff\xfe", "which is not UTF-8")):
        path.write_bytes(content)
        with pytest.raises(ConfigError, match=message):
            security_of(sasl(ca_file, sasl_password=Secret(), sasl_password_file=str(path)))


def test_certificates_and_names_are_checked_from_tls_1_2_on(ca_file: str) -> None:
    made = security_of(sasl(ca_file))
    assert made.context is not None
    assert made.context.minimum_version == ssl.TLSVersion.TLSv1_2
    assert made.context.verify_mode == ssl.CERT_REQUIRED
    assert made.context.check_hostname
    assert [one["subject"] for one in made.context.get_ca_certs()] != []
    assert made.options() == {
        "security_protocol": "SASL_SSL",
        "ssl_context": made.context,
        "sasl_mechanism": "SCRAM-SHA-512",
        "sasl_plain_username": "me",
        "sasl_plain_password": PASSWORD,
    }


def test_a_key_with_a_password_is_opened_by_it_alone(ca_file: str, tmp_path: Path) -> None:
    from cryptography.hazmat.primitives import serialization as form

    cert = trustme.CA().issue_cert("client")
    cert.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    key = form.load_pem_private_key(cert.private_key_pem.bytes(), None)
    locked = form.BestAvailableEncryption(PASSWORD.encode())
    path = tmp_path / "key.pem"
    path.write_bytes(key.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, locked))
    fields = {"security_protocol": "SSL", "bootstrap": "k:1", "tls_ca_file": ca_file}
    fields |= {"tls_cert_file": str(tmp_path / "cert.pem"), "tls_key_file": str(path)}
    for content in (None, "wrong"):
        (tmp_path / "password").write_text(content or PASSWORD, encoding="utf-8")
        given = {"tls_key_password_file": str(tmp_path / "password")} if content else {}
        with pytest.raises(ConfigError, match=r"tls_cert_file names .*cert\.pem, which cannot be"):
            security_of(KafkaConfig(**fields | given))
    (tmp_path / "password").write_text(PASSWORD, encoding="utf-8")
    fields["tls_key_password_file"] = str(tmp_path / "password")
    assert security_of(KafkaConfig(**fields)).protocol == "SSL"


def test_a_secret_is_not_shown_by_anything_that_shows_values(ca_file: str) -> None:
    secret = Secret(PASSWORD)
    kafka = sasl(ca_file, sasl_password=secret)
    made = security_of(kafka)
    shown = [str(secret), repr(secret), f"{secret}", f"{secret!r:>30}", "%s %r" % (secret, secret)]  # noqa: UP031
    shown += [repr(value) for value in (kafka, Config(kafka=kafka), made, {"a": [secret]})]
    shown += traceback.format_exception(ValueError(secret))
    failing = traceback.TracebackException(TypeError, TypeError(made), None, capture_locals=True)
    shown += failing.format()
    assert [text for text in shown if PASSWORD in text] == []
    assert all("***" in text for text in shown[:5])


@pytest.mark.parametrize(
    "write", [pickle.dumps, copy.deepcopy, json.dumps, orjson.dumps, msgspec.json.encode,
              msgspec.msgpack.encode, msgspec.to_builtins],
)  # fmt: skip
def test_a_secret_is_not_written(write: object) -> None:
    with pytest.raises(TypeError):
        write(Secret(PASSWORD))


def test_what_was_revealed_is_left_out_of_text_in_any_spelling() -> None:
    secret = Secret(PASSWORD)
    value = secret.reveal()
    quoted = repr(value)
    for text in (value, quoted, *(json.dumps(v, ensure_ascii=False) for v in (value, quoted))):
        assert "canary" in text
        assert "canary" not in redact(text)


def test_a_password_in_the_file_is_refused_and_not_repeated(tmp_path: Path) -> None:
    path = tmp_path / "driftline.toml"
    path.write_text('[kafka]\nsasl_password = "hunter2hunter2"\n')
    with pytest.raises(ConfigError, match=r"must not stand .* DRIFTLINE_KAFKA_SASL_PASSWORD") as no:
        load_config(path, {})
    assert "hunter2" not in "".join(traceback.format_exception(no.value))


@pytest.mark.parametrize("text", ["12345678", "true", '"quoted"', "1e9", "[1]", "plain"])
def test_a_password_of_the_environment_is_taken_as_it_stands(text: str) -> None:
    kafka = load_config(None, {"DRIFTLINE_KAFKA_SASL_PASSWORD": text}).kafka
    assert kafka.sasl_password.reveal() == text


def test_config_check_shows_that_there_is_a_password_and_not_which(
    ca_file: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in (
        ("BOOTSTRAP", "kafka:9093"), ("SECURITY_PROTOCOL", "SASL_SSL"), ("TLS_CA_FILE", ca_file),
        ("SASL_USERNAME", "me"), ("SASL_PASSWORD", PASSWORD),
    ):  # fmt: skip
        monkeypatch.setenv(f"DRIFTLINE_KAFKA_{name}", value)
    assert cli.run(["config", "check"]) == 0
    shown = capsys.readouterr()
    assert "kafka.sasl_password = '***'" in shown.out
    assert PASSWORD not in shown.out + shown.err
    monkeypatch.setenv("DRIFTLINE_KAFKA_SECURITY_PROTOCOL", "SASL_PLAINTEXT")
    assert cli.run(["config", "check"]) == 2


@pytest.mark.parametrize(
    ("bootstrap", "options", "message"),
    [
        ("kafka:9092", {}, "is not this machine"),
        ("localhost:1,kafka", {}, "is not this machine"),
        ("localhost:1", {"security_protocol": "SASL_PLAINTEXT"}, "use SASL_SSL"),
        ("localhost:1", {"tls_ca_file": "ca.pem"}, "does nothing"),
        ("localhost:1", {"sasl_username": "a", "sasl_password": "b"}, "does nothing"),
    ],
)
def test_the_emitter_keeps_the_same_rules(
    bootstrap: str, options: dict[str, str], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        Emitter(bootstrap, "fraud", **options)


def test_security_without_a_login_is_plain() -> None:
    assert Security().options() == {"security_protocol": "PLAINTEXT"}


def test_a_crash_of_a_command_shows_no_secret(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def crash(*_: object, **__: object) -> None:
        raise OSError(Secret(PASSWORD).reveal())

    monkeypatch.setattr(cli, "app", crash)
    assert cli.run([]) == 70
    told = capsys.readouterr().err
    assert "OSError: ***" in told
    assert "Traceback" in told
