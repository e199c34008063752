# Makes a table of what `go test -bench` prints: one line a figure.
/^pkg: / { pkg = $2; sub(/^tidemark\//, "", pkg) }
/^Benchmark/ {
	name = $1
	sub(/^Benchmark/, "", name)
	sub(/-[0-9]+$/, "", name)
	for (i = 3; i < NF; i += 2) row(pkg "  " name, $i, $(i + 1))
}
/^(FAIL|panic:|--- FAIL)/ { print; failed = 1 }
function row(what, value, unit) {
	if (!head++) printf "%-42s %14s  %s\n", "benchmark", "figure", "unit"
	printf "%-42s %14s  %s\n", what, value, unit
}
END { exit failed }
