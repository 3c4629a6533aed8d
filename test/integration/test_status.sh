#!/bin/bash
# `ikada status` of a real cluster: whole, with a node killed, with one that hangs, without a leader. IKADA is the program.
set -u
top=$(mktemp -d)
host=127.$((RANDOM % 200 + 20)).$((RANDOM % 250)).$((RANDOM % 250 + 1))
passed=0 failed=0

"$IKADA" dev --host "$host" --port 7001 --dir "$top/data" >"$top/dev.log" 2>&1 &
dev=$!
end() {
	kill -CONT $(pid 1) $(pid 2) $(pid 3) 2>/dev/null
	kill $dev 2>/dev/null
	wait $dev
	rm -rf "$top"
}
trap end EXIT

pid() { # pid NODE
	awk -v id="$1" '$1 == id && $4 ~ /^[0-9]+$/ { print $4; exit }' "$top/dev.log"
}

status() { # status NODE: asks that node; the exit status is in $code, the text in $top/text.
	"$IKADA" status --host "$host" --port $((7000 + $1)) >"$top/text" 2>&1
	code=$?
}

# expect NAME NODE CODE PATTERN...: soon the node says so, with this exit status and all these patterns.
expect() {
	local name=$1 node=$2 wanted=$3 try pattern all
	shift 3
	for try in $(seq 100); do
		status "$node"
		all=$((code == wanted))
		for pattern in "$@"; do
			grep -qE "$pattern" "$top/text" || all=0
		done
		if [ $all -eq 1 ] && [ "$(awk 'length > 80' "$top/text")" = "" ]; then
			passed=$((passed + 1))
			return
		fi
		sleep 0.1
	done
	failed=$((failed + 1))
	echo "status: $name: exit status $code, expected $wanted and $*"
	sed 's/^/    /' "$top/text"
}

expect whole 1 0 '^cluster [0-9a-f]{16}, term [0-9]+, node [123] leads$' '^healthy$' \
	'^1 +[^ ]+:7001 +(leader|follower)' '^2 .*(leader|follower)' '^3 .*(leader|follower)'
leader=$(sed -n 's/.*, node \([123]\) leads$/\1/p' "$top/text")
[ "$(grep -c ' leader ' "$top/text")" -eq 1 ] && passed=$((passed + 1)) || { failed=$((failed + 1)); echo 'status: not one leader'; }

other=$((leader % 3 + 1)) third=$(((leader + 1) % 3 + 1))
kill -9 "$(pid $other)"
expect killed "$leader" 1 "^degraded: node $other unreachable$" "^$other .*no answer" "^node $other: Connection refused$"

# JSON says the same.
json=$("$IKADA" status --host "$host" --port $((7000 + leader)) --json)
code=$?
if [ $code -eq 1 ] && [ "$(grep -cE '"health": "degraded"|"node '$other' unreachable"|"reachable": (true|false)' <<<"$json")" -eq 5 ]; then
	passed=$((passed + 1))
else
	failed=$((failed + 1))
	printf 'status: json, exit status %s\n%s\n' $code "$json"
fi

kill -STOP "$(pid $third)"
expect hanging "$leader" 2 '^no leader: ' "^node $third: no answer in 1000 ms$"
kill -CONT "$(pid $third)"
expect resumed "$third" 1 'node [123] leads$' "^degraded: node $other unreachable$"
expect refused $other 2 '^no answer: '

echo "status: $passed passed, $failed failed, 0 skipped"
[ $failed -eq 0 ]
