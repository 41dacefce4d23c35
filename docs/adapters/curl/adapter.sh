#!/usr/bin/env bash
# Files between a messaging provider and the gateway, with curl 7.87 or later and a shell:
#
#   adapter.sh twilio-in MEDIA_URL            stores a customer's file
#   adapter.sh whatsapp-in MEDIA_ID [NAME]    stores a customer's file
#   adapter.sh whatsapp-out ASSET_ID TO       sends an agent's file, by its bytes
#   adapter.sh twilio-out ASSET_ID FROM TO    sends an agent's file, by its signed URL
set -euo pipefail

gateway=$GATEWAY_URL
twilio=${TWILIO_URL:-https://api.twilio.com}
graph=${GRAPH_URL:-https://graph.facebook.com/v24.0}
attempts=5
pause=2 longest_pause=300 # seconds
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkfifo "$work/pipe"

# Secrets are in files, as arguments show in the list of processes. The slowest transfer that is
# accepted has 1000 bytes a second over a minute.
common='silent
show-error
connect-timeout = 5
speed-limit = 1000
speed-time = 60'
umask 077
printf '%s\nuser = "%s:%s"\n' "$common" "${TWILIO_ACCOUNT_SID:-}" "${TWILIO_AUTH_TOKEN:-}" > "$work/twilio"
printf '%s\nheader = "Authorization: Bearer %s"\n' "$common" "${WHATSAPP_TOKEN:-}" > "$work/whatsapp"
printf '%s\nheader = "Authorization: Bearer %s"\n' "$common" "${GATEWAY_KEY:-}" > "$work/gateway"

fail() {
    echo "failed: $*" >&2
    exit 1
}

# A member of a flat JSON object. With jq: jq -r ".$1".
member() {
    grep -o "\"$1\": *\(\"[^\"]*\"\|[0-9a-z]*\)" "$2" | head -1 | sed 's/^"[^"]*": *//; s/^"//; s/"$//; s/\\//g'
}

header() {
    tr -d '\r' < "$2" | grep -i "^$1:" | tail -1 | cut -d' ' -f2- || true
}

twilio_in() {
    # Without this check, a forged webhook could send your Twilio login to any host.
    [[ $1 == "$twilio"/* ]] || fail "$1 isn't Twilio's"
    # Twilio redirects to its storage. curl doesn't send the login to another host.
    # A media URL ends with the media's SID. A message with three files has three of them.
    store_with_retries sms "${1##*/}" "" "" --config "$work/twilio" --location "$1"
}

whatsapp_in() {
    local id=$1 name=${2:-}
    for ((attempt = 1; ; attempt++)); do
        # The URL is valid for five minutes.
        status=$(curl --config "$work/whatsapp" -o "$work/about" -w '%{http_code}' "$graph/$id") || status=000
        [ "$status" = 200 ] && break
        retry "the provider responded $status: $(head -c 300 "$work/about")"
    done
    store_with_retries whatsapp "$id" "$name" "$(member file_size "$work/about")" \
        --config "$work/whatsapp" "$(member url "$work/about")"
}

# Streams a file from the provider to the gateway; the last arguments are curl's for the provider.
# A key that is the same for each attempt stores a file once.
store_with_retries() {
    local key=$2 query=(--url-query "channel=$1")
    [ -z "$3" ] || query+=(--url-query "name=$3")
    [ -z "$4" ] || query+=(--url-query "size=$4")
    shift 4
    for ((attempt = 1; ; attempt++)); do
        rm -f "$work"/{source,head,body}
        curl --config "$work/gateway" -X POST -T - -H "Idempotency-Key: $key" \
            --dump-header "$work/head" -o "$work/body" "${query[@]}" "$gateway/v1/assets" \
            < "$work/pipe" &
        uploader=$!
        # The pipe stays open until it is known that the file is whole: its end would be the upload's.
        exec 3> "$work/pipe"
        curl --fail --dump-header "$work/source" "$@" >&3 2> "$work/errors" || kill $uploader || true
        exec 3>&-
        wait $uploader || true
        source=$(sed -n 's/^HTTP[^ ]* \([0-9]*\).*/\1/p' "$work/source" | tail -1)
        [[ $source == 2* ]] || {
            retry "the provider responded ${source:-nothing}: $(cat "$work/errors")"
            continue
        }
        gateway_responded && return
    done
}

# Shows the asset, and waits or ends if there is none.
gateway_responded() {
    local status code
    status=$(sed -n 's/^HTTP[^ ]* \([2-5][0-9]*\).*/\1/p' "$work/head" 2> /dev/null | tail -1)
    if [[ $status == 2* ]]; then
        cat "$work/body"
        return 0
    fi
    [ -s "$work/body" ] || echo '{}' > "$work/body"
    code=$(member code "$work/body")
    message="${code:-${status:-no response}}: $(member detail "$work/body") (request $(member requestId "$work/body"))"
    # A response without a code is that of a proxy in between.
    if [ "$(member retryable "$work/body")" = true ] || [[ -z $code && ( -z $status || $status == 429 || $status == 5* ) ]]; then
        retry "$message" "$(header retry-after "$work/head")"
        return 1
    fi
    for_customer "$status"
    fail "$message"
}

for_customer() {
    local size allowed
    size=$(member max_size "$work/body")
    allowed=$(sed -n 's/.*"allowed":\[\([^]]*\)\].*/\1/p' "$work/body" | tr -d '"' | sed 's/,/, /g')
    case $1 in
        413) echo "tell the customer: This file is too large.${size:+ Please send at most $((size / 1000000)).$((size / 100000 % 10)) MB.}" ;;
        415) echo "tell the customer: This type of file isn't accepted here.${allowed:+ Please send one of these: $allowed.}" ;;
    esac
}

# Waits before the next attempt, or ends after the last one.
retry() {
    local wait=${2:-}
    [[ $wait =~ ^[0-9]+$ ]] || wait=$pause
    [ "$wait" -le $longest_pause ] || wait=$longest_pause
    [ "$attempt" -lt $attempts ] || fail "gave up after $attempt attempts: $1"
    echo "attempt $attempt: $1; the next in $wait s" >&2
    sleep "$wait"
}

whatsapp_out() {
    local asset=$1 to=$2 kind name type status
    for ((attempt = 1; ; attempt++)); do
        curl --config "$work/gateway" --dump-header "$work/head" -o "$work/body" \
            "$gateway/v1/assets/$asset" || true
        gateway_responded > "$work/about" && break
    done
    for ((attempt = 1; ; attempt++)); do
        # curl -F needs a file: from a pipe, it would collect the whole in memory.
        curl --config "$work/gateway" --dump-header "$work/head" -o "$work/body" \
            "$gateway/v1/assets/$asset/content" || true
        mv "$work/body" "$work/file" && cp "$work/file" "$work/body"
        gateway_responded > /dev/null && break
    done
    name=$(member name "$work/about") type=$(member contentType "$work/about")
    case $type in image/* | audio/* | video/*) kind=${type%%/*} ;; *) kind=document ;; esac
    status=$(curl --config "$work/whatsapp" -o "$work/media" -w '%{http_code}' \
        -F messaging_product=whatsapp -F "file=@$work/file;filename=\"$name\";type=$type" \
        "$graph/$WHATSAPP_PHONE_ID/media") || fail "WhatsApp didn't respond"
    [[ $status == 2* ]] || fail "WhatsApp responded $status: $(head -c 300 "$work/media")"
    # Not repeated: a message whose response was lost may have been sent.
    curl --config "$work/whatsapp" --fail-with-body -H 'Content-Type: application/json' -d @- \
        "$graph/$WHATSAPP_PHONE_ID/messages" << END
{"messaging_product": "whatsapp", "to": "$to", "type": "$kind", "$kind": {"id": "$(member id "$work/media")"}}
END
}

twilio_out() {
    for ((attempt = 1; ; attempt++)); do
        curl --config "$work/gateway" --dump-header "$work/head" -o "$work/body" \
            "$gateway/v1/assets/$1/content?redirect=1" || true
        signed_url=$(header location "$work/head")
        [ -z "$signed_url" ] || break
        gateway_responded
    done
    printf %s "$signed_url" > "$work/url"
    curl --config "$work/twilio" --fail-with-body --data-urlencode "From=$2" \
        --data-urlencode "To=$3" --data-urlencode "MediaUrl@$work/url" \
        "$twilio/2010-04-01/Accounts/$TWILIO_ACCOUNT_SID/Messages.json"
}

case ${1:-} in
    twilio-in) twilio_in "$2" ;;
    whatsapp-in) whatsapp_in "$2" "${3:-}" ;;
    whatsapp-out) whatsapp_out "$2" "$3" ;;
    twilio-out) twilio_out "$2" "$3" "$4" ;;
    *) fail "twilio-in, whatsapp-in, whatsapp-out or twilio-out" ;;
esac
