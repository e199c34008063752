package steps

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"tidemark/history"
	"tidemark/steps/ledger"
)

func (w *World) theLogServer(ctx context.Context, how, often string) error {
	times, _, err := count(often)
	if err != nil {
		return err
	}
	return w.logs.Misbehave(ctx, how, times)
}

func (w *World) requestsAreSent(ctx context.Context, count int, how string) error {
	return w.logs.Send(ctx, count, strings.TrimSpace(how))
}

func (w *World) theLogServerGets(ctx context.Context, which, often, order, bound string) error {
	return w.logs.Gets(ctx, which, history.Delivery{Again: often != "once", InOrder: order != ""}, bound)
}

func (w *World) inBatchesOf(_ context.Context, list string) error {
	var sizes []int
	for part := range strings.SplitSeq(strings.ReplaceAll(list, " and ", ", "), ", ") {
		size, err := strconv.Atoi(part)
		if err != nil {
			return fmt.Errorf("read the sizes %q: %w", list, err)
		}
		sizes = append(sizes, size)
	}
	return w.logs.Judge(func(all []history.Arrival, _ time.Duration) error { return history.Batches(all, sizes) })
}

func (w *World) itGetsDeliveries(_ context.Context, want int) error {
	return w.logs.Judge(func(all []history.Arrival, _ time.Duration) error {
		if len(all) != want {
			return &history.Violation{Expected: fmt.Sprintf("%d requests to the log server", want), Actual: fmt.Sprint(len(all))}
		}
		return nil
	})
}

func (w *World) itGetsNothing(ctx context.Context, window string) error {
	length, err := w.length(window)
	if err != nil {
		return err
	}
	return w.logs.Quiet(ctx, length)
}

func (w *World) eachTryCarriedTheSame(context.Context) error {
	return w.logs.Judge(func(all []history.Arrival, _ time.Duration) error { return history.Unchanged(all) })
}

func (w *World) nothingElseWasSent(context.Context) error {
	return w.logs.Judge(func(all []history.Arrival, _ time.Duration) error { return history.OneAfterTheOther(all) })
}

func (w *World) requestIsTried(ctx context.Context, number, often string) error {
	least, most, err := count(often)
	if err != nil {
		return err
	}
	if most < 0 {
		return w.logs.Tried(ctx, number, least)
	}
	return w.logs.TriedExactly(ctx, number, least)
}

func (w *World) theWaitsDouble(_ context.Context, number string, from float64, upTo string) error {
	var longest float64 // none
	_, _ = fmt.Sscanf(upTo, " up to %f s", &longest)
	return w.logs.Judge(func(all []history.Arrival, tolerance time.Duration) error {
		return history.Doubling(history.Tries(all, number), seconds(from), seconds(longest), tolerance)
	})
}

func (w *World) noWaitIsAbove(_ context.Context, number string, longest float64) error {
	return w.logs.Judge(func(all []history.Arrival, tolerance time.Duration) error {
		return history.NoWaitAbove(history.Tries(all, number), seconds(longest), tolerance)
	})
}

func (w *World) wasGivenUpAfter(_ context.Context, number string, budget float64) error {
	return w.logs.Judge(func(all []history.Arrival, tolerance time.Duration) error {
		tries := history.Tries(all, number)
		earliest := history.Earliest(all, tries, w.logs.Made()[number].Sent)
		return history.Budgeted(tries, earliest, seconds(budget), w.logs.LongestWait(), tolerance)
	})
}

func (w *World) deliveriesAreUnderWay(_ context.Context, limit string, n int) error {
	return w.logs.Judge(func(all []history.Arrival, _ time.Duration) error {
		if limit == "at least" {
			return history.AtLeastAtOnce(all, n)
		}
		return history.AtMostAtOnce(all, n)
	})
}

func (w *World) nodeLogs(ctx context.Context, node int, often, what string) error {
	least, most, err := count(often)
	if err != nil {
		return err
	}
	return w.logs.Logs(ctx, node, least, most, what)
}

func (w *World) nodeDoesNotLog(ctx context.Context, node int, what, window string) error {
	length, err := w.length(window)
	if err != nil {
		return err
	}
	return w.logs.LogsNot(ctx, node, what, length)
}

func (w *World) nodeListsQueues(ctx context.Context, node int, many string) error {
	return w.Each(ctx, fmt.Sprintf("node %d", node), func(node int) error {
		return w.logs.Jobs(ctx, node, map[string]int{"no": 0, "one": 1, "two": 2}[many])
	})
}

func (w *World) eachDeliveryIsOneEntry(context.Context) error {
	return w.logs.Each("one entry and no list", func(a ledger.Arrival) bool { return bytes.HasPrefix(a.Body, []byte("{")) })
}

func (w *World) noEntryShowsASecret(context.Context) error {
	return w.logs.Each("no secret", func(a ledger.Arrival) bool { return !bytes.Contains(a.Body, []byte(ledger.Secret)) })
}

func (w *World) noDeliveryCarriesAQuery(context.Context) error {
	return w.logs.Each("no query", func(a ledger.Arrival) bool { return a.Query == "" })
}

func (w *World) everyEntryTells(context.Context) error {
	members := []string{`"request":`, `"response":`, `"service":{`, `"route":{`, `"latencies":`, `"client_ip":`, `"started_at":`}
	return w.logs.Each("request, answer, service and route", func(a ledger.Arrival) bool {
		return !slices.ContainsFunc(members, func(m string) bool { return !bytes.Contains(a.Body, []byte(m)) })
	})
}

func (w *World) everyDeliveryIsAddressed(context.Context) error {
	return w.logs.Each("the endpoint's host and port", func(a ledger.Arrival) bool { return a.Host == w.Cluster.LogServerAddr() })
}

func (w *World) nodeIsStoppedBy(ctx context.Context, node int, signal string) error {
	return w.goes(ctx, node, func() error { return w.Cluster.Node(node).TerminateBy(ctx, signal) })
}

func (w *World) nodeEndedWithin(_ context.Context, node int) error {
	return w.logs.Ended(node, w.Settings.Duration("queue_flush_timeout")+w.Bounds.Slack)
}

func (w *World) theMemoryHasGrownByLess(_ context.Context, node, megabytes int) error {
	return w.logs.Grown(node, megabytes)
}

func seconds(n float64) time.Duration { return time.Duration(n * float64(time.Second)) }

// count reads "once", "twice", "3 times", "at least once" and "at least 3 times"; "" is none. most is -1 where
// there is no upper limit.
func count(often string) (least, most int, err error) {
	often = strings.TrimSpace(often)
	rest, open := strings.CutPrefix(often, "at least ")
	switch digits, _, _ := strings.Cut(rest, " "); digits {
	case "":
	case "once":
		least = 1
	case "twice":
		least = 2
	default:
		if least, err = strconv.Atoi(digits); err != nil {
			return 0, 0, fmt.Errorf("read how often %q is: %w", often, err)
		}
	}
	if open {
		return least, -1, nil
	}
	return least, least, nil
}
