package steps

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"

	"github.com/cucumber/godog"

	"tidemark/history"
)

func (w *World) aCluster(nodes int, how string) error {
	w.Spec.Nodes, w.Spec.Replica = nodes, how == " with a read replica"
	if how == " with nothing set" {
		maps.Copy(w.Stated, w.Target.Nothing())
	}
	return nil
}

func (w *World) aClusterWhoseConfigurationFileSays(nodes int, text *godog.DocString) error {
	w.Spec.Nodes, w.Spec.ConfigFile = nodes, filepath.Join(w.Dir, "node.conf")
	return os.WriteFile(w.Spec.ConfigFile, []byte(text.Content), 0o644)
}

func (w *World) settingIs(name, value string) error {
	if w.Cluster != nil {
		return fmt.Errorf("set %s: the cluster has already started", name)
	}
	w.Stated[name] = value
	return nil
}

func (w *World) settingOfNodeIs(node int, name, value string) error {
	w.Spec.PerNode[node] = map[string]string{name: value}
	return nil
}

func (w *World) isReportedAs(ctx context.Context, name string, value float64) error {
	w.Checks++
	answer := w.Expect(ctx, 1, w.Cluster.Node(1).AdminURL()).GET("/").Expect().Status(200)
	answer.JSON().Object().Value("configuration").Object().Value(name).Number().IsEqual(value)
	return w.Complaints()
}

func (w *World) saysThatItIsNotReady(ctx context.Context, node int, bound string) error {
	path := w.Target.Start.Ready.Path
	unready := func() bool { return w.statusOf(ctx, node, path) == http.StatusServiceUnavailable }
	w.Until(ctx, w.origin.Add(w.Bounds.Query+w.Bounds.Slack), unready)
	return w.answers(ctx, node, path, http.StatusServiceUnavailable)
}

func (w *World) isAlive(ctx context.Context, node int) error {
	return w.answers(ctx, node, "/status", http.StatusOK)
}

// statusOf asks a node's status listener.
func (w *World) statusOf(ctx context.Context, node int, path string) int {
	answer, err := w.Request(ctx, w.Cluster.Node(node).StatusURL()+path)
	if err != nil {
		return 0
	}
	_ = answer.Body.Close()
	return answer.StatusCode
}

// answers asserts what a node's status listener answers.
func (w *World) answers(ctx context.Context, node int, path string, status int) error {
	w.Checks++
	w.Expect(ctx, node, w.Cluster.Node(node).StatusURL()).GET(path).Expect().Status(status)
	return w.Complaints()
}

func (w *World) nodeIsStopped(ctx context.Context, node int) error {
	return w.goes(ctx, node, func() error { return w.Cluster.Node(node).Terminate(ctx) })
}

func (w *World) nodeIsKilled(ctx context.Context, node int) error {
	return w.goes(ctx, node, func() error { return w.Cluster.Node(node).Kill(ctx) })
}

func (w *World) nodeIsFrozen(ctx context.Context, node int) error {
	err := w.goes(ctx, node, func() error { return w.Cluster.Node(node).Freeze(ctx) })
	w.frozen = w.History.Now()
	return err
}

func (w *World) nodeIsStarted(ctx context.Context, node int) error {
	return w.comes(ctx, node, func() error { return w.Cluster.Node(node).Restart(ctx) })
}

func (w *World) nodeIsRestarted(ctx context.Context, node int) error {
	w.Leave(node, true)
	return w.nodeIsStarted(ctx, node)
}

func (w *World) nodeGoesOn(ctx context.Context, node int) error {
	if stood, f := w.History.Now().Sub(w.frozen), w.Interval(node); stood < f || len(w.Polls(node, w.frozen)) > 0 {
		return history.Doubtf("node %d polled %d times in the %v for which it was frozen, and has to miss a poll", node, len(w.Polls(node, w.frozen)), stood)
	}
	err := w.act(ctx, 0, func() error { return w.Cluster.Node(node).Thaw(ctx) })
	w.Leave(node, false)
	return err
}

func (w *World) isMadeThroughAndKilled(ctx context.Context, name string, node int) error {
	return w.makes(ctx, name, node, func(node int) error { return w.nodeIsKilled(ctx, node) })
}

// goes takes a node away.
func (w *World) goes(ctx context.Context, node int, how func() error) error {
	return w.Each(ctx, fmt.Sprintf("node %d", node), func(int) error {
		w.Leave(node, true)
		return how()
	})
}

// comes brings a node back; it has to be right from its first request on.
func (w *World) comes(ctx context.Context, node int, how func() error) error {
	return w.act(ctx, node, func() error {
		err := how()
		w.Leave(node, false)
		return err
	})
}
