#!/bin/sh
# Makes the keys that compose.yaml mounts, where they are missing; what is there stays.
# Compose mounts the files as they are, so they belong to the users of the containers.
set -eu
cd "$(dirname "$0")"
umask 077
mkdir -p secrets
for name in triton_admin_key gateway_api_keys grafana_admin_password; do
    if [ ! -s "secrets/$name" ]; then
        openssl rand -hex 32 > "secrets/$name"
        echo "made secrets/$name"
    fi
done
# The folder keeps other users of the host out; the files are readable by the containers, whose users are not the host's.
chmod 0700 secrets
chmod 0444 secrets/triton_admin_key secrets/gateway_api_keys secrets/grafana_admin_password
