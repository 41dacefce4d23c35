#!/usr/bin/env bash
# A form, and the limits that it has to respect: form.sh FILE
set -euo pipefail

# Fields before the file: then the gateway knows them when the file begins.
curl --fail-with-body -sS -F channel=whatsapp -F sender=customer -F "size=$(stat -c %s "$1")" \
    -F "file=@$1" "$GATEWAY_URL/v1/assets"

# What may be sent, before anything is sent.
curl --fail-with-body -sS "$GATEWAY_URL/v1/limits?channel=whatsapp&sender=customer"
