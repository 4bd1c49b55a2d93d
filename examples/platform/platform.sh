#!/bin/sh
# A platform that starts machines for people, through one launcher. Shows each step, from its authorization to its refusal
# after a person has withdrawn.
# Run it where `dropsafe` and `dropsafe-agent` are on the PATH; a test runs it.
#
#   DROPSAFE_URL=https://… DROPSAFE_TOKEN=dsm_… DROPSAFE_CA=tls/ca.pem sh platform.sh [PEOPLE]
#
# DROPSAFE_TOKEN is an administrator's. No credential and no secret is ever an argument of a program: every user of a machine
# can read the arguments of all of its processes.
set -eu
umask 077

people=${1:-3}
api=${DROPSAFE_URL%#*}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# enroll NAME [OPTION…]: NAME redeems the code that the administrator got for them. Nobody else sees the token.
enroll() {
    name=$1
    shift
    dropsafe enroll "$DROPSAFE_URL" --print "$@" <"$work/$name.code" >"$work/$name.token" 2>"$work/note" || {
        cat "$work/note" >&2
        return 1
    }
}

# as NAME COMMAND…: a command of NAME.
as() {
    name=$1
    shift
    DROPSAFE_TOKEN=$(cat "$work/$name.token") dropsafe "$@"
}

# call PATH [OPTION…]: a call of the platform, with its token in a file of headers.
call() {
    path=$1
    shift
    curl --silent --show-error --fail-with-body --cacert "$DROPSAFE_CA" --header "@$work/headers" "$@" "$api$path"
}

# field NAME: the text of a field of the JSON object on standard input.
field() {
    sed -n "s/.*\"$1\":\"\([^\"]*\)\".*/\1/p"
}

# launch PERSON: one call for each machine. The answer is the machine's ticket.
launch() {
    call /v1/tickets --data "{\"member\":\"$1\",\"uses\":1,\"ttl_seconds\":3600,\"label\":\"devbox of $1\"}"
}

echo "1. An administrator authorizes the launcher. The party that runs the platform redeems its enrolment."
dropsafe launcher add devboxes >"$work/devboxes.code" 2>"$work/note"
enroll devboxes
{
    printf 'Authorization: Bearer %s\n' "$(cat "$work/devboxes.token")"
    echo 'Content-Type: application/json'
} >"$work/headers"

echo "2. $people people are added. Each accepts the launcher in the step that redeems their enrolment."
n=1
while [ "$n" -le "$people" ]; do
    dropsafe member add "person-$n" >"$work/person-$n.code" 2>"$work/note"
    enroll "person-$n" --accept devboxes
    n=$((n + 1))
done

echo "3. One of them deposits a private secret."
printf 'sk-of-person-1' | as person-1 set openai-api-key >/dev/null 2>"$work/note"

echo "4. The platform starts a machine for each of them."
n=1
while [ "$n" -le "$people" ]; do
    launch "person-$n" | field ticket >"$work/person-$n.ticket"
    # On a real platform, this line runs on the machine, which got the ticket in a file, as a systemd credential or by cloud-init.
    # The workload's shell expands the variable, in its own environment.
    # shellcheck disable=SC2016
    DROPSAFE_TICKET=$(cat "$work/person-$n.ticket") dropsafe-agent exec -- \
        sh -c 'echo "   a machine of '"person-$n"' has OPENAI_API_KEY: ${OPENAI_API_KEY:+yes}"'
    n=$((n + 1))
done

echo "5. Each person sees what started for them, and by which launcher."
as person-1 boots | grep -o 'person-1 via [a-z]*'

echo "6. The platform reports that a machine is gone."
boot=$(call "/v1/boots?member=person-1" | grep -o '"id":"boot_[0-9A-Za-z]*"' | head -n 1 | field id)
call "/v1/boots/$boot/end" --data '{}'
as person-1 boots --live 2>&1

echo "7. A person withdraws. The platform can start nothing more for them, and its tickets for them are revoked."
launch person-1 | field ticket >"$work/kept.ticket"
as person-1 launcher withdraw devboxes
if launch person-1 >"$work/refusal"; then
    exit 1
fi 2>"$work/note"
echo "   refused: $(field code <"$work/refusal")"
if DROPSAFE_TICKET=$(cat "$work/kept.ticket") dropsafe-agent exec -- true 2>"$work/note"; then
    exit 1
fi
echo "   the ticket that it kept: exit code of the agent not 0"
