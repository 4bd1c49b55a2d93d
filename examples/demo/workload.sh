#!/bin/sh
# A workload that tells which variables it was given, and never a value. Ends with 1 when one is not as it should be.
status=0

# NAME EXPECTED NOTE: EXPECTED is the beginning of the value, or empty for "not set at all".
look() {
    name=$1 expected=$2 note=$3
    eval "value=\${$name-} set=\${$name+yes}"
    case $set,$value in
    yes,"$expected"*) [ -n "$expected" ] && answer=given || { answer='GIVEN' status=1; } ;;
    ,) [ -z "$expected" ] && answer='not given' || { answer='MISSING' status=1; } ;;
    *) answer='GIVEN ANOTHER' status=1 ;;
    esac
    printf '%-28s %-10s %s\n' "$name" "$answer" "$note"
}

look OPENAI_API_KEY demo-private- 'the private one: the shared openai-api-key stays in the store'
look GIT_SIGNING_KEY '-----BEGIN' 'private, of several lines'
look PAGERDUTY_TOKEN demo-shared- 'deposited as pagerduty.token'
look SKILL_STRIPE_WEBHOOK_SECRET demo-shared- 'deposited as skill:stripe:webhook_secret'
look DB_URL postgres:// 'deposited as db_url'
look REGION eu-west-1 'a plain setting'
look LEGACY_ADMIN_PASSWORD '' 'kept back: its auto-install is off'
look DROPSAFE_TICKET '' 'what the agent booted with'
exit $status
