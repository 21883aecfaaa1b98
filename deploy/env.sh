#!/bin/sh
# Prints the settings of compose.yaml with passwords of its own:  sh env.sh https://files.example > .env
# Once: a database and a store that exist keep the passwords that they were made with.
set -eu
: "${1:?usage: sh env.sh PUBLIC_URL > .env}"
secret() { od -An -N"$1" -tx1 /dev/urandom | tr -d ' \n'; }
cat <<END
PUBLIC_URL=$1
DATABASE_PASSWORD=$(secret 24)
S3_ACCESS_KEY=GK$(secret 12)
S3_SECRET_KEY=$(secret 32)
S3_RPC_SECRET=$(secret 32)
END
