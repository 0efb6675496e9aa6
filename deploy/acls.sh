#!/bin/sh
# Give a user of Kafka the rights of one of driftline's roles, and no more:
#
#   BOOTSTRAP=kafka-1:9093 COMMAND_CONFIG=admin.properties deploy/acls.sh PREFIX ROLE USER
#
# for example `deploy/acls.sh driftline observe driftline-observe`. Roles are the first words of
# the lines below; docs/guides/security.md explains them. `*` is every topic of the prefix.
set -eu

rights() {
    cat <<'END'
observe topic events READ WRITE DESCRIBE_CONFIGS
observe topic control READ
observe topic summaries READ WRITE
observe topic rejects WRITE
observe group observe READ
judge topic control READ
judge topic summaries READ
judge topic state READ WRITE
judge topic metrics WRITE
judge topic alerts WRITE
judge topic incidents WRITE
judge group judge READ
learn topic events READ
learn topic control READ WRITE
learn topic summaries READ
learn group learn READ
emitter topic events WRITE
emit topic events WRITE
emit group observe DESCRIBE
alerts topic alerts READ
alerts topic incidents READ
backtest topic events READ
backtest topic control READ
backtest topic summaries DESCRIBE
push topic * CREATE DESCRIBE
push topic control READ WRITE
push topic summaries READ
END
}

[ $# -eq 3 ] || { echo "usage: $0 PREFIX ROLE USER" >&2; exit 2; }
prefix=$1 wanted=$2 user=$3
rights | grep -q "^$wanted " || { echo "there is no role $wanted" >&2; exit 2; }

rights | grep "^$wanted " | while read -r _ kind name operations; do
    pattern=literal resource="$prefix.$name"
    [ "$name" != "*" ] || { pattern=prefixed resource="$prefix."; }
    for operation in $operations; do
        "${KAFKA_ACLS:-kafka-acls.sh}" --bootstrap-server "${BOOTSTRAP:-localhost:9092}" \
            ${COMMAND_CONFIG:+--command-config "$COMMAND_CONFIG"} \
            --add --allow-principal "User:$user" --operation "$operation" \
            "--$kind" "$resource" --resource-pattern-type "$pattern" </dev/null
    done
done
