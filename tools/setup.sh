#!/usr/bin/env bash
# Installs what the embedded default needs and this machine lacks: PostgreSQL's server programs and curl.
# Never asks for a password and starts no service; where it may not install, one line says what to do.
set -euo pipefail

have_postgres() {
	if [ -n "${TIDEMARK_PG_BIN:-}" ]; then
		[ -x "$TIDEMARK_PG_BIN/postgres" ] && [ -x "$TIDEMARK_PG_BIN/initdb" ]
		return
	fi
	command -v postgres >/dev/null 2>&1 && return 0
	compgen -G '/usr/lib/postgresql/*/bin/postgres' >/dev/null && return 0
	compgen -G '/usr/pgsql-*/bin/postgres' >/dev/null && return 0
	compgen -G '/opt/homebrew/opt/postgresql*/bin/postgres' >/dev/null && return 0
	compgen -G '/Applications/Postgres.app/Contents/Versions/*/bin/postgres' >/dev/null && return 0
	return 1
}

if ! command -v go >/dev/null 2>&1; then
	echo "tidemark: Go 1.26 or newer is needed: https://go.dev/dl/" >&2
	exit 1
fi
if [ -n "${TIDEMARK_PG_BIN:-}" ] && ! have_postgres; then
	echo "tidemark: TIDEMARK_PG_BIN=$TIDEMARK_PG_BIN holds no postgres and initdb that can be run; correct or unset it" >&2
	exit 1
fi
missing=()
have_postgres || missing+=(postgresql)
command -v curl >/dev/null 2>&1 || missing+=(curl)
[ ${#missing[@]} -eq 0 ] && exit 0

if ! command -v apt-get >/dev/null 2>&1; then
	echo "tidemark: install ${missing[*]} with this system's package manager (TIDEMARK_PG_BIN names a PostgreSQL bin folder elsewhere)" >&2
	exit 1
fi
as_root=()
if [ "$(id -u)" -ne 0 ]; then
	if ! sudo -n true 2>/dev/null; then
		echo "tidemark: ${missing[*]} missing; run: sudo apt-get install ${missing[*]}" >&2
		exit 1
	fi
	as_root=(sudo -n)
fi

echo "tidemark: installing ${missing[*]} from Debian's packages"
log=$(mktemp)
# policy-rc.d is Debian's own way to keep packages from starting services; only ours is removed again.
policy=/usr/sbin/policy-rc.d
ours=no
cleanup() {
	[ "$ours" = yes ] && "${as_root[@]}" rm -f "$policy"
	rm -f "$log"
}
trap cleanup EXIT
if [ ! -e "$policy" ]; then
	ours=yes
	printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee "$policy" >/dev/null
	"${as_root[@]}" chmod 755 "$policy"
fi
install() { "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "${missing[@]}" >"$log" 2>&1; }
if ! { "${as_root[@]}" apt-get update >"$log" 2>&1 && install; } && ! install; then
	tail -n 20 "$log" >&2
	echo "tidemark: that was: apt-get install ${missing[*]}" >&2
	exit 1
fi
have_postgres || { echo "tidemark: installed, but no postgres program found; set TIDEMARK_PG_BIN to its folder" >&2; exit 1; }
