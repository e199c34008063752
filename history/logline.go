package history

import (
	"bufio"
	"io"
	"regexp"
	"time"
)

// maxLines bounds how many lines of one log a history takes, the newest.
const maxLines = 5000

// stamps are the ways in which logs write the time: RFC 3339, and what nginx writes in local time.
func stamps() []stamp {
	return []stamp{
		{regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)`), time.RFC3339Nano},
		{regexp.MustCompile(`\d{4}/\d\d/\d\d \d\d:\d\d:\d\d`), "2006/01/02 15:04:05"},
	}
}

type stamp struct {
	pattern *regexp.Regexp
	layout  string
}

// ReadLog makes entries of a node's log, in its order: each line with the time that it bears, one
// that bears none with that of the line before. Both clocks are of one machine; a line's time is only
// as fine as the log writes it. It reads to the end, at most the newest 5000 lines are kept, and
// what could not be read is an error beside the entries.
func ReadLog(h *History, node int, log io.Reader) ([]Entry, error) {
	var entries []Entry
	known := stamps()
	at := h.Began()
	lines := bufio.NewScanner(log)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line := lines.Text()
		if wall, ok := stamped(line, known); ok {
			at = h.Began().Add(wall.Sub(h.Began().Round(0))) // with the history's monotonic reading
		}
		if entries = append(entries, Entry{Kind: KindLog, Node: node, Start: at, End: at, Detail: line}); len(entries) > 2*maxLines {
			entries = append(entries[:0], entries[maxLines:]...)
		}
	}
	return entries[max(0, len(entries)-maxLines):], lines.Err()
}

// stamped reads the first time in a line.
func stamped(line string, known []stamp) (time.Time, bool) {
	for _, s := range known {
		if text := s.pattern.FindString(line); text != "" {
			at, err := time.ParseInLocation(s.layout, text, time.Local)
			return at, err == nil
		}
	}
	return time.Time{}, false
}
