#!/usr/bin/env bash
# with-parts.sh COMMAND...: runs COMMAND with the real parts that the integration
# tests use: Mosquitto and its clients, Chromium, two Kinesis emulators and MQTT.js from
# npm, the AWS CLI, and a Docker engine with test images.
#
# What is missing is installed where apt is at hand (as root or by sudo without a
# password) and npm packages go to .cache/npm; elsewhere it says what the tests
# will skip. Where no Docker engine answers and root has dockerd, one is started
# for the time of the command.
#
# The tests learn of it by SLUICE_REAL_PARTS=1 and SLUICE_NPM_DIR. With CI=true a
# part that is missing fails them instead of skipping.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
here=$root/internal/itest
cache=$root/.cache
PATH=$PATH:/usr/sbin:/sbin

say() { echo "parts: $*" >&2; }
have() { command -v "$1" >/dev/null; }

install_system_parts() {
	local want=()
	have mosquitto || want+=(mosquitto)
	have mosquitto_pub || want+=(mosquitto-clients)
	have aws || want+=(awscli)
	have chromium || want+=(chromium)
	have npm || want+=(nodejs npm)
	engine_answers || have dockerd || want+=(docker.io)
	((${#want[@]})) || return 0

	local as_root=()
	if [[ $(id -u) != 0 ]]; then
		if have sudo && sudo -n true 2>/dev/null; then as_root=(sudo -n); fi
	fi
	if ! have apt-get || { [[ $(id -u) != 0 ]] && ((${#as_root[@]} == 0)); }; then
		say "not installed, and no package manager at hand: ${want[*]}; the tests that need them will skip"
		return 0
	fi
	say "installing ${want[*]}"
	local apt=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300)
	{ "${apt[@]}" update && "${apt[@]}" install -y --no-install-recommends "${want[@]}"; } >"$cache/apt.log" 2>&1 ||
		say "apt failed, see .cache/apt.log: $(tail -1 "$cache/apt.log")"
}

install_npm_parts() {
	SLUICE_NPM_DIR=$cache/npm
	export SLUICE_NPM_DIR
	have npm || return 0
	mkdir -p "$cache/npm"
	if ! cmp -s "$here/npm/package-lock.json" "$cache/npm/installed.json"; then
		say "installing the npm packages of internal/itest/npm"
		cp "$here"/npm/package*.json "$cache/npm/"
		if (cd "$cache/npm" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error) >"$cache/npm.log" 2>&1; then
			cp "$here/npm/package-lock.json" "$cache/npm/installed.json"
		else
			say "npm failed, see .cache/npm.log: $(tail -1 "$cache/npm.log")"
		fi
	fi
}

engine_answers() { have docker && timeout 20 docker version >/dev/null 2>&1; }

# start_engine starts dockerd with a socket of its own, published ports on the
# loopback interface, and its images kept in .cache/docker.
start_engine() {
	engine_answers && return 0
	if ! have dockerd || [[ $(id -u) != 0 ]]; then
		say "no Docker engine answers and none can be started: the container tests will skip"
		return 0
	fi
	run=$(mktemp -d /tmp/sluice-docker.XXXXXX)
	dockerd --host "unix://$run/docker.sock" --exec-root "$run/exec" --pidfile "$run/pid" \
		--data-root "$cache/docker" --ip 127.0.0.1 >"$cache/dockerd.log" 2>&1 &
	engine=$!
	export DOCKER_HOST=unix://$run/docker.sock
	for _ in {1..60}; do
		engine_answers && return 0
		kill -0 "$engine" 2>/dev/null || break
		sleep 0.5
	done
	say "dockerd did not start, see .cache/dockerd.log: $(tail -1 "$cache/dockerd.log")"
	unset DOCKER_HOST
}

# stop_engine cleans up. The status of the script is that of the tests, whatever
# happens here.
stop_engine() {
	set +e
	if [[ -n ${engine:-} ]]; then
		kill "$engine" 2>/dev/null
		wait "$engine" 2>/dev/null
	fi
	if [[ -n ${run:-} ]]; then
		# The network of the host, if a container had it, stays mounted here.
		umount "$run"/exec/netns/* 2>/dev/null
		rm -rf "$run" || say "left behind: $run"
	fi
}

# pack IMAGE CHANGE... -- FILE...: an image of the files and the shared libraries
# that they load, and of what is in $stage already.
pack() {
	local image=$1 changes=() lib
	shift
	while [[ $1 != -- ]]; do changes+=(--change "$1") && shift; done
	shift
	for file; do
		cp -L --parents "$file" "$stage"
		for lib in $(ldd "$file" | grep -o '/[^ )]*'); do cp -L --parents "$lib" "$stage"; done
	done
	mkdir -p "$stage/tmp" "$stage/etc"
	echo 'root:x:0:0::/:/bin/false' >"$stage/etc/passwd"
	tar -C "$stage" -c . | docker import "${changes[@]}" - "$image" >/dev/null
	rm -rf "$stage"
}

# build_images makes the images of the container tests from the programs that are
# installed here, so that no registry is needed. Images named by the caller win.
build_images() {
	engine_answers || return 0
	if [[ -z ${SLUICE_MQTT_IMAGE:-} ]] && have mosquitto && have ldd; then
		stage=$(mktemp -d) && mkdir -p "$stage/mosquitto/config"
		pack sluice-test/mosquitto 'CMD ["/usr/sbin/mosquitto","-c","/mosquitto/config/mosquitto.conf"]' -- "$(command -v mosquitto)"
		export SLUICE_MQTT_IMAGE=sluice-test/mosquitto
	fi
	if [[ -z ${SLUICE_KINESIS_IMAGE:-} && -d $SLUICE_NPM_DIR/node_modules/kinesis-local ]] && have ldd; then
		stage=$(mktemp -d) && cp -R "$SLUICE_NPM_DIR/node_modules/kinesis-local" "$stage/app"
		pack sluice-test/kinesis-local 'WORKDIR /app' "CMD [\"$(command -v node)\",\"main.js\"]" -- "$(command -v node)"
		export SLUICE_KINESIS_IMAGE=sluice-test/kinesis-local
	fi
}

mkdir -p "$cache"
trap stop_engine EXIT
install_system_parts
install_npm_parts
start_engine
build_images || say "the images of the container tests could not be built: those tests will skip"
export SLUICE_REAL_PARTS=1
# The image of the clean-up container cannot be had without a registry; the tests
# remove their containers themselves. The override is for machines that are
# containers themselves, where published ports are nevertheless on this host.
export TESTCONTAINERS_RYUK_DISABLED=true TESTCONTAINERS_HOST_OVERRIDE=${TESTCONTAINERS_HOST_OVERRIDE:-127.0.0.1}
"$@"
